/** What a run of the benchmark comes to, as it stands in the JSON. Types only. */

/** The unit of a value. `ratio` is one subject's value over another's in the same rounds. */
export type Unit = 'ns' | 'µs' | 'ms' | 'per second' | 'bytes' | 'count' | 'ratio' | 'share';

/** The middle of several rounds, and where most of them lie. */
export interface Spread {
  readonly median: number;
  /** A tenth of the rounds lie below. */
  readonly low: number;
  /** A tenth of the rounds lie above. */
  readonly high: number;
}

/** Whose figure it is: this project's, another library's, or the least that anything could cost. */
export type Role = 'ours' | 'peer' | 'floor';

/** One subject's figures in one case. */
export interface Row extends Spread {
  readonly subject: string;
  readonly role: Role;
  /** The best round of all, which is what a busy machine disturbs least. */
  readonly best: number;
  /** Its values over those of the reference, round by round; absent for the reference itself. */
  readonly ratio?: Spread;
}

/** One thing that was measured, for several subjects in the same rounds. */
export interface Case {
  readonly id: string;
  readonly title: string;
  readonly unit: Unit;
  readonly rounds: number;
  /** The subject that the ratios are to. */
  readonly reference: string;
  readonly rows: readonly Row[];
}

/** What is to be reached. */
export interface Target {
  readonly at: 'most' | 'least';
  readonly value: number;
}

/** A figure that is to be reached. */
export interface Figure extends Spread {
  readonly id: string;
  readonly title: string;
  readonly unit: Unit;
  readonly target?: Target;
  /** Absent where there is no target. */
  readonly pass?: boolean;
}

/** What one section has measured. */
export interface SectionResult {
  readonly name: string;
  readonly title: string;
  /** When it was measured, in ISO 8601. */
  readonly date: string;
  /** Whether it was a quick run, with few rounds. */
  readonly quick: boolean;
  readonly cases: readonly Case[];
  readonly figures: readonly Figure[];
}

/** The machine that it ran on. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
}

/** The whole of the JSON. */
export interface Results {
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
  readonly sections: readonly SectionResult[];
}
