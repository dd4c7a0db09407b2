import { render } from "preact";
import "../ui/ui.css";
import "./desk.css";
import { SignIn } from "../ui/sign-in";
import { t } from "../texts";
import { Desk } from "./desk";
import { session } from "./model";

function App() {
  return session.state.value === "in" ? <Desk /> : <SignIn session={session} title={t.signIn.desk} />;
}

const page = document.getElementById("page");
if (page) render(<App />, page);
