import { render } from "preact";
import "../ui/ui.css";
import "./client.css";
import { Account } from "./account";
import { AdvisorPage } from "./advisor";
import { Advisors } from "./advisors";
import { call } from "./call";
import { CallSheet } from "./call-sheet";
import { session } from "./model";
import { ReceiptPage } from "./receipt";
import { route } from "./route";
import { SignInPage } from "./sign-in";
import { step } from "./talk";
import { TalkSheet } from "./talk-sheet";
import { TimePage } from "./time";

function App() {
  if (session.state.value !== "in") return <SignInPage />;
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
