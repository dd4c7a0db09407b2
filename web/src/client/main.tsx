import { render } from "preact";
import "../ui/ui.css";
import "./client.css";
import { t } from "../texts";
import { SignIn } from "../ui/sign-in";
import { Account } from "./account";
import { AdvisorPage } from "./advisor";
import { Advisors } from "./advisors";
import { call } from "./call";
import { CallSheet } from "./call-sheet";
import { session } from "./model";
import { ReceiptPage } from "./receipt";
import { route } from "./route";
import { step } from "./talk";
import { TalkSheet } from "./talk-sheet";
import { TimePage } from "./time";

function App() {
  if (session.state.value !== "in") return <SignIn session={session} title={t.signIn.client} />;
  const { place, id } = route.value;
  return (
    <>
      {place === "advisors" && <Advisors />}
      {place === "advisor" && <AdvisorPage key={id} id={id} />}
      {place === "time" && <TimePage key={id} advisor={id} />}
      {place === "account" && <Account />}
      {place === "receipt" && <ReceiptPage key={id} call={id} />}
      {call.value ? <CallSheet call={call.value} /> : step.value && <TalkSheet step={step.value} />}
    </>
  );
}

const page = document.getElementById("page");
if (page) render(<App />, page);
