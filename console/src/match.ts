// The match: physics in fixed steps, drawn in between at the display's rate; the model is asked after each step for the next.
import type { CourtView } from "./court.js";
import { type Action, Game, type Happened, type Moment, STEP_S, between, moment, steer } from "./game.js";
import type { Input } from "./input.js";

const MAX_BEHIND_S = 0.25; // what is more was a tab that slept: it is not played in a rush

export interface MatchEvents {
  // A step is over: the model is asked for its next action.
  ask(observation: number[]): void;
  happened(happened: Happened): void;
}

export class Match {
  readonly game = new Game(Math.random);
  action: Action = 0; // the model's last one: it holds until the next comes
  modelPlays = false;
  private running = false;
  private before: Moment = moment(this.game);
  private after: Moment = this.before;
  private owedS = 0;
  private lastMs: number | null = null;

  constructor(
    private readonly court: CourtView,
    private readonly input: Input,
    private readonly events: MatchEvents,
  ) {
    const frame = (now: number): void => {
      this.frame(now);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  run(): void {
    if (this.running) return;
    this.running = true;
    this.lastMs = null;
    this.owedS = 0;
    this.events.ask(this.game.observe());
  }

  pause(): void {
    this.running = false;
    this.input.release();
  }

  restart(): void {
    this.game.restart();
    this.before = this.after = moment(this.game);
  }

  private frame(now: number): void {
    if (this.running) {
      this.owedS += Math.min(this.lastMs === null ? 0 : (now - this.lastMs) / 1000, MAX_BEHIND_S);
      this.lastMs = now;
      while (this.owedS >= STEP_S && this.running) {
        this.owedS -= STEP_S;
        this.step();
      }
    }
    const shown = between(this.before, this.after, Math.min(this.owedS / STEP_S, 1));
    this.court.draw(shown, { modelPlays: this.modelPlays, ball: this.running || this.owedS > 0, now });
  }

  private step(): void {
    steer(this.game.left, this.modelPlays ? this.action : 0);
    this.input.apply(this.game.right);
    this.before = this.after;
    const happened = this.game.step();
    this.after = moment(this.game);
    this.events.ask(this.game.observe());
    if (happened.point || happened.hit) this.events.happened(happened);
  }
}
