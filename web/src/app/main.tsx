import { render } from "preact";
import "../ui/ui.css";
import "./app.css";
import { SignIn } from "../ui/sign-in";
import { t } from "../texts";
import { Home } from "./home";
import { session } from "./model";

function App() {
  return session.state.value === "in" ? <Home /> : <SignIn session={session} title={t.signIn.advisor} />;
}

const page = document.getElementById("page");
if (page) render(<App />, page);

if (import.meta.env.PROD) void navigator.serviceWorker?.register("/app/sw.js", { type: "module" }).catch(() => {}); // without it all but opening offline works
