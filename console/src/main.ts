// The page: stranger, player, revoked. Physics and drawing are the match's, the model's answers come over the link, and what
// lets the player in (identity, proof, session) is the door's.
import { Agent, type AppInfo, Refusal, Server, Unreachable } from "./api.js";
import { CourtView } from "./court.js";
import { Door, type Ending } from "./door.js";
import { explain } from "./explain.js";
import { type Happened, POINTS_TO_WIN, STEP_S } from "./game.js";
import { type Identity, NoKey, ownIdentity } from "./identity.js";
import { Input } from "./input.js";
import { Window, drawHistogram, milliseconds } from "./latency.js";
import type { Answer } from "./link.js";
import { Match } from "./match.js";
import { VersionList } from "./versions.js";
import { type Phase, view } from "./view.js";

const APP = "pong";
const POLL_MS = 2000;
const REDRAW_MS = 400;

class Page {
  private readonly server = new Server(location.origin, APP);
  private readonly agent = Agent.find();
  private readonly trip = new Window();
  private readonly inServer = new Window();
  private readonly counts = { moves: 0, late: 0, misses: 0 };
  private readonly missReasons = new Map<string, number>();
  private readonly versions: VersionList;
  private readonly match: Match;
  private door: Door | null = null;
  private phase: Phase = "loading";
  private connected = false;
  private polledAt = 0; // the list of versions
  private revokedAt: number | null = null; // when the player asked for it

  constructor() {
    const canvas = view.find<HTMLCanvasElement>("court");
    const surface = canvas.parentElement!;
    const input = new Input(surface, canvas, () => this.begin());
    this.match = new Match(new CourtView(canvas), input, {
      ask: (observation) => this.door?.ask(observation, this.versions.pinned),
      happened: (happened) => this.happened(happened),
    });
    this.versions = new VersionList(view.find("versions"), view.find("live"), () => canvas.focus({ preventScroll: true }));
    view.find("ask").addEventListener("click", () => void this.askTheLab());
    view.find("start").addEventListener("click", () => this.begin());
    view.find("revoke").addEventListener("click", () => void this.revoke());
    view.find("version").addEventListener("click", () => this.versions.show(view.find("version").dataset["version"] ?? ""));
    document.addEventListener("visibilitychange", () => this.visibility());
    setInterval(() => this.showLatency(), REDRAW_MS);
    setInterval(() => void this.poll(), POLL_MS);
    this.showLatency();
  }

  async load(): Promise<void> {
    let identity: Identity;
    try {
      identity = await ownIdentity();
    } catch (error) {
      if (!(error instanceof NoKey)) throw error;
      this.notice("outside", { title: "This browser cannot hold a key", text: error.message });
      return;
    }
    this.showIdentity(identity);
    this.door = new Door(this.server, identity, {
      answer: (answer) => this.answered(answer),
      late: () => {
        this.counts.late += 1;
      },
      connection: (state, text) => this.connection(state, text),
      ended: (ending) => this.ended(ending),
    });
    try {
      await this.server.info(null);
      await this.door.enter(null);
      this.entered("nothing was asked for: this app has no gate");
    } catch (error) {
      this.outside(error);
      if (identity.proof !== null && error instanceof Refusal) await this.enterWith(identity);
    }
  }

  // A stranger, and why.
  private outside(error: unknown): void {
    const agent = this.agent;
    const canAsk = agent instanceof Agent;
    const help = canAsk
      ? undefined
      : (agent?.message ??
        "Only the lab can let you in. It prints an address of this page that ends in #agent=…: open that one, or ask whoever runs the lab for it.");
    view.state("stranger");
    if (error instanceof Refusal) {
      this.notice("outside", {
        code: error.short,
        title: "You are a stranger here",
        text: error.message || explain(error.code),
        ...(canAsk ? { ask: "Ask the lab" } : {}),
        ...(help === undefined ? {} : { help }),
      });
    } else {
      const said = error instanceof Error ? error.message : String(error);
      const text = error instanceof Unreachable ? `${said}. Is it still running?` : said;
      this.notice("outside", { code: "unreachable", title: "Nobody answers", text, start: "Try again" });
    }
  }

  private async askTheLab(): Promise<void> {
    const [door, agent] = [this.door, this.agent];
    if (!door || !(agent instanceof Agent)) return;
    view.busy("ask", true);
    view.text("ask", "Asking…");
    try {
      const identity = await door.freshIdentity();
      this.showIdentity(identity);
      const granted = await agent.grant(identity.record, APP);
      await door.keepProof(granted.proof);
      await door.enter(granted.proof);
      const until = new Date(granted.validUntil * 1000).toLocaleString([], {
        weekday: "short",
        hour: "2-digit",
        minute: "2-digit",
        hour12: false,
      });
      this.entered(`${granted.permission} on ${granted.resource} until ${until}`);
    } catch (error) {
      this.outside(error);
    } finally {
      view.busy("ask", false);
    }
  }

  // With the proof of an earlier visit.
  private async enterWith(identity: Identity): Promise<void> {
    try {
      await this.door!.enter(identity.proof);
      this.entered(`predict, by the proof of your last visit`);
    } catch (error) {
      if (error instanceof Refusal && error.code === "revoked") this.ended({ status: error.status, code: error.code });
      else this.outside(error);
    }
  }

  private entered(granted: string): void {
    this.revokedAt = null;
    this.connected = true;
    view.state("player");
    view.text("granted", granted);
    this.match.modelPlays = true;
    view.optional("revoke", this.agent instanceof Agent ? "Revoke me" : undefined);
    view.busy("revoke", false);
    view.optional("who-note", undefined);
    this.match.restart();
    this.showScore();
    this.ready();
    void this.poll();
  }

  private ready(): void {
    this.notice("ready", {
      title: "You are in",
      text: "Your paddle is on the right. Arrow keys, W and S, or drag on the court.",
      start: "Serve",
    });
  }

  // A key or a touch that may mean "go on".
  private begin(): void {
    if (this.phase === "over") {
      this.match.restart();
      this.showScore();
    }
    if (this.phase === "ready" || this.phase === "paused" || this.phase === "over") {
      if (!this.connected) {
        this.wait();
        return;
      }
      this.notice("playing", {});
      view.find("court").focus({ preventScroll: true });
      this.match.run();
    } else if (this.phase === "outside" && !view.find("start").hidden) {
      this.notice("loading", { title: "Daybreak Pong", text: "One moment." });
      void this.load();
    }
  }

  private visibility(): void {
    if (!document.hidden || this.phase !== "playing") return;
    this.match.pause();
    this.notice("paused", { title: "Paused", start: "Go on" });
  }

  private answered(answer: Answer): void {
    this.match.action = answer.action;
    this.trip.add(answer.roundTripMs);
    if (answer.serverMs !== null) this.inServer.add(answer.serverMs);
    this.counts.moves += 1;
    if (answer.missed !== null) {
      this.counts.misses += 1;
      const key = this.missReasons.size < 20 || this.missReasons.has(answer.missed) ? answer.missed : "other reasons";
      this.missReasons.set(key, (this.missReasons.get(key) ?? 0) + 1);
    }
    if (answer.version !== null) {
      const version = view.find("version");
      version.hidden = false;
      version.dataset["version"] = answer.version;
      view.text("version", `version ${answer.version}`);
      this.versions.serves(answer.version);
      if (!this.versions.knows(answer.version) && performance.now() - this.polledAt > POLL_MS / 4) void this.poll();
    }
  }

  private happened({ point }: Happened): void {
    if (!point) return;
    this.showScore();
    if (document.body.dataset["state"] !== "player") {
      this.halt();
    } else if (this.match.game.winner) {
      this.match.pause();
      const won = this.match.game.winner === "right";
      const { left, right } = this.match.game.score;
      this.notice("over", {
        title: won ? "You win" : "The model wins",
        text: won ? `${right} to ${left}, first to ${POINTS_TO_WIN}.` : `${left} to ${right}, first to ${POINTS_TO_WIN}.`,
        start: "Play again",
      });
    }
  }

  private connection(state: "open" | "opening" | "closed", text: string): void {
    view.connection(state, text);
    this.connected = state === "open";
    if (state === "open" && this.phase === "waiting") {
      this.notice("playing", {});
      this.match.run();
    } else if (state !== "open" && this.phase === "playing" && document.body.dataset["state"] === "player") {
      this.wait();
    }
  }

  private wait(): void {
    this.match.action = 0;
    this.match.pause();
    this.notice("waiting", { title: "The connection is gone", text: "Trying again; the game goes on when it is back." });
  }

  private async revoke(): Promise<void> {
    const [door, agent] = [this.door, this.agent];
    if (!door || !(agent instanceof Agent)) return;
    view.busy("revoke", true);
    view.text("revoke", "Revoking…");
    this.revokedAt = performance.now();
    try {
      await agent.revoke(door.identity.record);
      if (document.body.dataset["state"] === "player") view.text("revoke", "Closing…");
    } catch (error) {
      view.text("revoke", "Revoke me");
      view.optional("who-note", error instanceof Error && error.message ? error.message : "The lab's agent refused.");
      view.busy("revoke", false);
    }
  }

  // The gate has shut. The paddle stops at once; a rally that is on ends before the court is covered.
  private ended(ending: Ending): void {
    const revoked = ending.code === "revoked";
    const inPlay = this.phase === "playing";
    this.match.modelPlays = false;
    this.match.action = 0;
    view.optional("revoke", undefined);
    view.text("granted", revoked ? "taken back" : "nothing");
    view.connection("closed", "refused");
    this.versions.serves(null);
    this.showLatency();
    if (!revoked) {
      this.match.pause();
      this.outside(new Refusal(ending.status, ending.code));
      return;
    }
    view.state("revoked");
    const after = this.revokedAt === null ? null : (performance.now() - this.revokedAt) / 1000;
    const since = after === null ? "" : ` It took ${after.toFixed(1)} s from your click to the closed door.`;
    this.notice("ended", {
      code: `${ending.status} ${ending.code}`,
      title: "The paddle has stopped",
      text: explain(ending.code) + since,
      ...(this.agent instanceof Agent ? { ask: "Ask the lab again" } : {}),
    });
    document.body.dataset["rally"] = inPlay ? "on" : "off";
    if (!inPlay) this.halt();
  }

  private halt(): void {
    this.match.pause();
    document.body.dataset["rally"] = "off";
  }

  private async poll(): Promise<void> {
    const door = this.door;
    if (!door || document.hidden || document.body.dataset["state"] !== "player") return;
    this.polledAt = performance.now();
    try {
      const info = await this.server.info(door.token);
      if (document.body.dataset["state"] === "player") this.showInfo(info);
    } catch (error) {
      // The link tells when the server is gone; here only the list is missing.
      if (error instanceof Refusal) view.text("versions-note", `The server does not list its versions: ${error.short}.`);
    }
  }

  private showInfo(info: AppInfo): void {
    this.versions.update(info);
    const metrics = info.metrics;
    view.text(
      "versions-note",
      `Due within ${info.slo_us / 1000} ms, else the default.` +
        (metrics
          ? ` For everyone so far: ${metrics.predictions} predictions, ${metrics.deadline_misses} deadline misses, ${metrics.defaults} defaults.`
          : ""),
    );
  }

  private showIdentity(identity: Identity): void {
    view.text("identity", identity.id.slice(0, 16));
    view.find("identity").title = identity.id;
  }

  private showScore(): void {
    view.text("score-model", String(this.match.game.score.left));
    view.text("score-you", String(this.match.game.score.right));
  }

  private showLatency(): void {
    drawHistogram(view.find<SVGElement>("histogram"), this.inServer, this.trip, STEP_S * 1000);
    for (const [name, window] of [["latency", this.trip], ["server", this.inServer]] as const) {
      view.text(`${name}-p50`, milliseconds(window.percentile(0.5)));
      view.text(`${name}-p99`, milliseconds(window.percentile(0.99)));
    }
    for (const name of ["moves", "late", "misses"] as const) view.text(name, String(this.counts[name]));
    const reasons = [...this.missReasons].map(([reason, count]) => `${count} × ${reason}`);
    view.optional("miss-reason", reasons.length ? reasons.slice(-3).join(" · ") : undefined);
  }

  private notice(phase: Phase, notice: Omit<Parameters<typeof view.notice>[0], "phase">): void {
    this.phase = phase;
    view.notice({ phase, ...notice });
  }
}

void new Page().load();
