// The words on the page. What comes from outside is only ever set as text.
export type State = "stranger" | "player" | "revoked";
export type Phase = "loading" | "outside" | "ready" | "playing" | "waiting" | "paused" | "over" | "ended";

export interface Notice {
  phase: Phase;
  code?: string; // what the server said, such as "401 no_proof"
  title?: string;
  text?: string;
  ask?: string; // the label of the button that asks the lab
  start?: string; // the label of the button that begins
  help?: string;
}

function find<T extends Element = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as Element as T;
}

function put(id: string, text: string | undefined): void {
  const element = find(id);
  element.hidden = text === undefined;
  if (text !== undefined && element.textContent !== text) element.textContent = text;
}

export const view = {
  find,

  text(id: string, text: string): void {
    const element = find(id);
    if (element.textContent !== text) element.textContent = text;
  },

  optional: put,

  state(state: State): void {
    view.text("state", state);
    document.body.dataset["state"] = state;
  },

  connection(state: "open" | "opening" | "closed", text: string): void {
    const element = find("connection");
    element.dataset["connection"] = state;
    view.text("connection", text);
  },

  // What stands on the court; while the game is on, nothing does.
  notice(notice: Notice): void {
    document.body.dataset["phase"] = notice.phase;
    put("reason", notice.code);
    put("title", notice.title);
    put("text", notice.text);
    put("ask", notice.ask);
    put("start", notice.start);
    put("help", notice.help);
  },

  busy(id: string, busy: boolean): void {
    find<HTMLButtonElement>(id).disabled = busy;
  },
};
