import { useEffect, useState } from "preact/hooks";
import { clock } from "../lib/format";
import { t } from "../texts";
import { Button, Card, Chip, Notice } from "../ui/ui";
import { advisor, look, me, phone, session } from "./model";
import { Done, FileButton, Ticking, Trouble, useAct } from "./parts";
import { Recorder } from "./recorder";

const words = t.app.greeting;
const recorder = new Recorder();

/** What clients hear who wait for the advisor: recorded here, or a file. */
export function GreetingCard() {
  const version = advisor.value?.own?.greeting;
  const [saved, setSaved] = useState(false);
  const [deaf, setDeaf] = useState(false);
  const { busy, problem, run } = useAct();
  const path = { id: me.value };
  const take = recorder.take.value;
  const since = recorder.since.value;

  useEffect(() => () => recorder.stop(), []); // who leaves the page does not go on speaking
  const record = async () => {
    setSaved(false);
    setDeaf(!(await recorder.start()));
  };
  const send = async (file: Blob) => {
    const done = await run(async () => {
      await session.api.value.put("/v1/advisors/{id}/greeting", { path, file });
      await look();
    });
    setSaved(done);
    if (done) recorder.forget();
  };
  const remove = () =>
    run(async () => {
      setSaved(false);
      await session.api.value.delete("/v1/advisors/{id}/greeting", { path });
      await look();
    });

  return (
    <Card title={words.title} aside={<Chip {...(version ? { tone: "good" as const } : {})}>{version ? words.there : words.none}</Chip>}>
      <p class="soft">{words.what}</p>
      {version && !take && !since && <Player key={version} />}
      {take && (
        <div class="stack">
          <audio class="player" controls src={take.url} aria-label={words.yours} />
          <div class="buttons">
            <Button kind="good" icon="check" busy={busy} onClick={() => void send(take.file)}>{words.keep}</Button>
            <Button kind="plain" onClick={() => recorder.forget()}>{words.discard}</Button>
          </div>
        </div>
      )}
      {deaf && <Notice tone="bad">{t.app.microphone.denied}</Notice>}
      <Trouble problem={problem} />
      {saved && <Done>{t.app.saved}</Done>}
      {since ? (
        <Button kind="bad" icon="stop" full onClick={() => recorder.stop()}>
          {words.stop} <Ticking>{(now) => clock(now - since)}</Ticking>
        </Button>
      ) : !take && (
        <div class="buttons">
          {!phone.value?.call.value && <Button kind={version ? "plain" : "main"} icon="mic" onClick={() => void record()}>{version ? words.recordAgain : words.record}</Button>}
          <FileButton icon="upload" accept="audio/*" busy={busy} onFile={(file) => void send(file)}>{words.upload}</FileButton>
          {version && <Button kind="bare" onClick={() => void remove()}>{words.remove}</Button>}
        </div>
      )}
    </Card>
  );
}

/** The greeting as clients hear it. */
function Player() {
  const [url, setURL] = useState("");
  const { problem, run } = useAct();
  const load = () => run(async () => setURL(URL.createObjectURL(await session.api.value.file("/v1/advisors/{id}/greeting", { id: me.value }))));
  useEffect(() => void load(), []);
  useEffect(() => () => URL.revokeObjectURL(url), [url]);
  return (
    <>
      <audio class="player" controls aria-label={words.asHeard} {...(url ? { src: url } : {})} />
      <Trouble problem={problem} again={() => void load()} />
    </>
  );
}
