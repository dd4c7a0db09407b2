import { render } from "preact";
import "../ui/ui.css";
import { Session } from "../lib/session";
import { SignIn } from "../ui/sign-in";
import { t } from "../texts";

const session = new Session("client");
const page = document.getElementById("page");
if (page) render(<SignIn session={session} title={t.signIn.client} />, page);
