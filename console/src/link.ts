// The model over a WebSocket: asked at every step, at most one question under way.

export interface Answer {
  action: 0 | 1 | 2;
  version: string | null;
  roundTripMs: number;
  serverMs: number | null;
  missed: string | null; // why it is not the model's own: the app's default, or an error
}

export interface LinkEvents {
  answer(answer: Answer): void;
  late(): void; // a step went by before the answer came; once a question
  // The connection is gone. `code` and `reason` as WebSockets have them: 4401 and 4403 are the gate's.
  closed(code: number, reason: string): void;
}

export interface Sent {
  id: number;
  at: number;
  late: boolean;
}

const STALL_MS = 5000; // a server that is silent for so long is gone
const CLIENT_STALLED = 4000;
const MAX_REASON = 300;

// What a message says, or null when it is no answer to `sent`.
export function readAnswer(text: string, sent: Sent, now: number): Answer | null {
  let said: Record<string, unknown>;
  try {
    said = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return null;
  }
  if (typeof said !== "object" || said === null || said["id"] !== sent.id) return null;
  const timing = {
    version: typeof said["version"] === "string" && said["version"] !== "" ? said["version"] : null,
    roundTripMs: now - sent.at,
    serverMs: typeof said["latency_us"] === "number" ? said["latency_us"] / 1000 : null,
  };
  const because = (why: unknown, otherwise: string): string => (typeof why === "string" && why !== "" ? why : otherwise).slice(0, MAX_REASON);
  if (said["error"] !== undefined) {
    return { ...timing, action: 0, missed: because(said["cause"], because(said["error"], "the server answered with an error")) };
  }
  const action = Number(said["output"]);
  if (said["default"] === true) {
    const missed = because(said["default_explanation"], "the default, without a reason");
    return { ...timing, action: action === 1 || action === 2 ? action : 0, missed };
  }
  if (said["output"] === null || said["output"] === "" || (action !== 0 && action !== 1 && action !== 2)) {
    return { ...timing, action: 0, missed: "the model's answer is none of 0, 1, 2" };
  }
  return { ...timing, action, missed: null };
}

export class Link {
  private nextId = 1;
  private sent: Sent | null = null;
  private done = false;
  private retired: (() => void) | null = null;

  private constructor(
    private readonly socket: WebSocket,
    private readonly events: LinkEvents,
  ) {
    socket.onmessage = (event: MessageEvent) => this.onMessage(String(event.data));
    socket.onclose = (event) => this.end(event.code, event.reason);
  }

  // Resolves when it is open. Rejects when the server does not let it: a browser does not say why.
  static open(url: string, token: string | null, events: LinkEvents): Promise<Link> {
    return new Promise((resolve, reject) => {
      const protocols = token === null ? ["daybreak.v1"] : ["daybreak.v1", `daybreak.token.${token}`];
      const socket = new WebSocket(url, protocols);
      socket.onopen = () => resolve(new Link(socket, events));
      socket.onclose = () => reject(new Error("the server did not open the connection"));
    });
  }

  get open(): boolean {
    return !this.done;
  }

  // Asks unless a question is under way; that one is late then.
  ask(input: number[], version: string | null): void {
    if (this.done) return;
    const now = performance.now();
    if (this.sent) {
      if (!this.sent.late) this.events.late();
      this.sent.late = true;
      if (now - this.sent.at > STALL_MS) {
        this.socket.close(CLIENT_STALLED);
        this.end(CLIENT_STALLED, `no answer for ${STALL_MS / 1000} s`);
      }
      return;
    }
    this.sent = { id: this.nextId++, at: now, late: false };
    const question = { id: this.sent.id, input, ...(version === null ? {} : { version }) };
    this.socket.send(JSON.stringify(question));
  }

  // Ends it without telling anybody.
  close(): void {
    this.done = true;
    this.socket.close(1000);
    this.retired?.();
    this.retired = null;
  }

  // Ends it when the question under way has its answer; then calls `gone`.
  retire(gone: () => void): void {
    this.retired = gone;
    if (!this.sent || this.done) this.close();
  }

  private onMessage(text: string): void {
    if (this.done || !this.sent) return;
    const answer = readAnswer(text, this.sent, performance.now());
    if (!answer) return;
    this.sent = null;
    this.events.answer(answer);
    if (this.retired) this.close();
  }

  private end(code: number, reason: string): void {
    if (this.done) return;
    this.done = true;
    this.retired?.();
    this.retired = null;
    this.events.closed(code, reason);
  }
}
