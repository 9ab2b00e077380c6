// What the page asks over HTTP: the server that it came from, and the lab's agent on its own port.
import { type Bytes, base64url, fromBase64url } from "./bytes.js";
import { sessionMessage } from "./grant.js";
import { type Identity, sign } from "./identity.js";

const TIMEOUT_MS = 10_000;

export interface Curve {
  steps: number[];
  values: number[];
  metric: string;
}

export interface Lineage {
  run?: string;
  artifact?: string;
  name?: string;
  params?: Record<string, unknown>;
  curve?: Curve;
}

export interface Version {
  version: string;
  ready: boolean;
  replicas: number;
  lineage: Lineage | null;
}

export interface AppInfo {
  name: string;
  slo_us: number;
  model: string | null;
  current: string | null;
  versions: Version[];
  metrics?: { predictions: number; defaults: number; deadline_misses: number };
}

export interface Session {
  token: string;
  expiresInS: number;
}

// The server or the agent said no. `code` is its word for it.
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message = "",
  ) {
    super(message);
  }
  get short(): string {
    return `${this.status} ${this.code}`;
  }
}

// Nobody answered.
export class Unreachable extends Error {}

async function call(url: string, init: RequestInit): Promise<unknown> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, { ...init, cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(TIMEOUT_MS) });
    text = await response.text();
  } catch {
    throw new Unreachable(`${new URL(url).host} does not answer`);
  }
  let body: unknown = null;
  try {
    body = text === "" ? null : JSON.parse(text);
  } catch {
    // What is no JSON is no answer of ours; its status says enough.
  }
  if (response.ok) return body;
  const said = (body ?? {}) as { error?: unknown; message?: unknown };
  throw new Refusal(
    response.status,
    typeof said.error === "string" ? said.error : "no_reason_given",
    typeof said.message === "string" ? said.message : "",
  );
}

function post(url: string, body: unknown, bearer: string | null = null): Promise<unknown> {
  const headers: Record<string, string> = { "Content-Type": "application/json" };
  if (bearer !== null) headers["Authorization"] = `Bearer ${bearer}`;
  return call(url, { method: "POST", headers, body: JSON.stringify(body) });
}

export class Server {
  constructor(
    readonly origin: string,
    readonly app: string,
  ) {}

  get socketUrl(): string {
    return `${this.origin.replace(/^http/, "ws")}/${this.app}/predict`;
  }

  async info(token: string | null): Promise<AppInfo> {
    const headers: Record<string, string> = token === null ? {} : { Authorization: `Bearer ${token}` };
    return (await call(`${this.origin}/daybreak/v1/apps/${this.app}`, { headers })) as AppInfo;
  }

  // Shows the proof and signs the server's challenge. Refusal says why not.
  async openSession(identity: Identity, proof: Bytes): Promise<Session> {
    const asked = (await post(`${this.origin}/daybreak/v1/challenge`, { app: this.app })) as {
      challenge: string;
      server: string;
    };
    const audience = { server: asked.server, origin: this.origin, app: this.app };
    const message = await sessionMessage(audience, fromBase64url(asked.challenge), proof);
    const opened = (await post(`${this.origin}/daybreak/v1/session`, {
      app: this.app,
      proof: base64url(proof),
      challenge: asked.challenge,
      signature: base64url(await sign(identity, message)),
    })) as { token: string; expires_in_s: number };
    return { token: opened.token, expiresInS: opened.expires_in_s };
  }

  async closeSession(token: string): Promise<void> {
    const headers = { Authorization: `Bearer ${token}` };
    await call(`${this.origin}/daybreak/v1/session`, { method: "DELETE", headers }).catch(() => undefined);
  }
}

export interface Grant {
  proof: Bytes;
  namespace: string;
  validUntil: number;
  permission: string;
  resource: string;
}

const KEPT = "daybreak-agent"; // sessionStorage: this tab alone, and gone with it

// The lab's agent, whose address somebody who runs the lab put into the page's.
export class Agent {
  private session: string | null = null;
  private entering: Promise<string> | null = null;

  private constructor(
    readonly origin: string,
    private readonly token: string | null, // good once
  ) {}

  // From the fragment `#agent=http://127.0.0.1:PORT&token=ONE_TIME`, which is taken out of the address bar before anything else, or
  // from what this tab was told before. Null when there is no agent; an Error when there is one where none may be.
  static find(): Agent | Error | null {
    const said = new URLSearchParams(location.hash.slice(1));
    const address = said.get("agent");
    const token = said.get("token");
    if (location.hash !== "") history.replaceState(null, "", location.pathname + location.search);
    if (address !== null && token !== null) {
      const origin = loopback(address);
      if (origin === null) return new Error("The address of the lab's agent is not on this computer, so this page does not use it.");
      const agent = new Agent(origin, token);
      agent.enter().catch(() => undefined); // at once, so that the token is used up; what went wrong is told when it is asked
      return agent;
    }
    try {
      const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null") as { origin: string; session: string } | null;
      if (kept === null) return null;
      const agent = new Agent(kept.origin, null);
      agent.session = kept.session;
      return agent;
    } catch {
      return null;
    }
  }

  private async enter(): Promise<string> {
    if (this.session !== null) return this.session;
    this.entering ??= post(`${this.origin}/agent/enter`, { token: this.token }).then((entered) => {
      const { session } = entered as { session: string };
      this.session = session;
      try {
        sessionStorage.setItem(KEPT, JSON.stringify({ origin: this.origin, session }));
      } catch {
        // It lasts as long as the page.
      }
      return session;
    });
    try {
      return await this.entering;
    } finally {
      this.entering = null;
    }
  }

  async grant(record: Bytes, app: string): Promise<Grant> {
    const body = { record: base64url(record), app };
    const granted = (await post(`${this.origin}/agent/grant`, body, await this.enter())) as {
      proof: string;
      namespace: string;
      valid_until: number;
      permission: string;
      resource: string;
    };
    return {
      proof: fromBase64url(granted.proof),
      namespace: granted.namespace,
      validUntil: granted.valid_until,
      permission: granted.permission,
      resource: granted.resource,
    };
  }

  async revoke(record: Bytes): Promise<void> {
    await post(`${this.origin}/agent/revoke`, { record: base64url(record) }, await this.enter());
  }
}

// The origin of an address on this computer, else null.
export function loopback(address: string): string | null {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  const here = ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname);
  return here && ["http:", "https:"].includes(url.protocol) ? url.origin : null;
}
