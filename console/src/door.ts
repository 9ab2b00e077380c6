// How the page gets in and stays in: a session from the proof, a link from the session, both renewed ahead of their end and
// opened again when they break. When the server says no for good, it has ended.
import { Refusal, type Server, type Session } from "./api.js";
import type { Bytes } from "./bytes.js";
import { type Identity, endsSoon, keep, ownIdentity } from "./identity.js";
import { type Answer, Link } from "./link.js";

const RENEW_AT = 0.7; // of a session's life
const RENEW_AGAIN_S = 10; // after a renewal that failed
const RETRY_FIRST_MS = 300;
const RETRY_LAST_MS = 5000;

export interface Ending {
  status: number; // 401, 403, or 4401, 4403 when an open connection was closed
  code: string;
}

export interface DoorEvents {
  answer(answer: Answer): void;
  late(): void;
  connection(state: "open" | "opening" | "closed", text: string): void;
  ended(ending: Ending): void;
}

export class Door {
  private proof: Bytes | null = null; // null: the app has no gate
  private session: Session | null = null;
  private link: Link | null = null;
  private renewal: ReturnType<typeof setTimeout> | undefined;
  private inside = false;

  constructor(
    private readonly server: Server,
    public identity: Identity,
    private readonly events: DoorEvents,
  ) {}

  get token(): string | null {
    return this.session?.token ?? null;
  }

  // Before something is granted to it: a page may have been open for a day.
  async freshIdentity(): Promise<Identity> {
    if (endsSoon(this.identity)) this.identity = await ownIdentity();
    return this.identity;
  }

  async keepProof(proof: Bytes): Promise<void> {
    this.identity.proof = proof;
    await keep(this.identity);
  }

  // In with a proof, or without one where there is no gate. Refusal says why not.
  async enter(proof: Bytes | null): Promise<void> {
    this.proof = proof;
    this.events.connection("opening", "connecting");
    try {
      await this.open();
    } catch (error) {
      this.events.connection("closed", "refused");
      throw error;
    }
    this.inside = true;
    this.events.connection("open", "connected");
  }

  ask(observation: number[], version: string | null): void {
    this.link?.ask(observation, version);
  }

  // A new session and a link with it; the old ones go when the new ones are there, so that no question is lost.
  private async open(): Promise<void> {
    const session = this.proof === null ? null : await this.server.openSession(this.identity, this.proof);
    const token = session?.token ?? null;
    let link: Link;
    try {
      link = await Link.open(this.server.socketUrl, token, {
        answer: (answer) => this.events.answer(answer),
        late: () => this.events.late(),
        closed: (code, reason) => {
          if (this.link === link) this.closed(code, reason);
        },
      });
    } catch (error) {
      await this.server.info(token); // a browser hides why a WebSocket was refused: this says it
      throw error;
    }
    const [oldLink, oldSession] = [this.link, this.session];
    this.link = link;
    this.session = session;
    oldLink?.retire(() => {
      if (oldSession) void this.server.closeSession(oldSession.token);
    });
    if (session) this.renewIn(session.expiresInS * RENEW_AT);
    if (!link.open) throw new Error("the connection was closed at once");
  }

  private renewIn(seconds: number): void {
    clearTimeout(this.renewal);
    this.renewal = setTimeout(() => void this.renew(), seconds * 1000);
  }

  private async renew(): Promise<void> {
    try {
      await this.open();
    } catch (error) {
      if (final(error)) this.end({ status: error.status, code: error.code });
      else if (this.inside) this.renewIn(RENEW_AGAIN_S);
    }
  }

  private closed(code: number, reason: string): void {
    if (!this.inside) return;
    if ((code === 4401 || code === 4403) && !sessionIsOver(reason)) this.end({ status: code, code: reason });
    else void this.reopen();
  }

  private async reopen(): Promise<void> {
    clearTimeout(this.renewal);
    for (let wait = RETRY_FIRST_MS; this.inside; wait = Math.min(wait * 2, RETRY_LAST_MS)) {
      this.events.connection("opening", "reconnecting");
      try {
        await this.open();
        this.events.connection("open", "connected");
        return;
      } catch (error) {
        if (final(error)) {
          this.end({ status: error.status, code: error.code });
          return;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  private end(ending: Ending): void {
    if (!this.inside) return;
    this.inside = false;
    clearTimeout(this.renewal);
    this.link?.close();
    this.link = this.session = null;
    this.events.ended(ending);
  }
}

// What the server says of a proof stays so, but for a server that is behind with revocations, a challenge that was overtaken, or
// one that is busy.
function final(error: unknown): error is Refusal {
  return error instanceof Refusal && [401, 403].includes(error.status) && !["revocation_stale", "replayed"].includes(error.code);
}

// Of a session less is final: one that has ended can be had again from the proof.
function sessionIsOver(code: string): boolean {
  return ["expired", "no_proof", "revocation_stale", "replayed"].includes(code);
}
