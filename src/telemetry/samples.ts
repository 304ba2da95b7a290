// Keeps the values of one metric, as many as a line may carry.

/** The most values of one metric in one line (CloudWatch embedded metric format, target members). */
const mostSamples = 100;

/**
 * Values of one metric. Of more than fit it keeps some drawn at random, each as likely as any other, and the largest of
 * all: percentiles stay about right, and the maximum exact.
 */
export class Samples {
  readonly #values: number[] = [];
  readonly #random: () => number;
  #seen = 0;
  #largest = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  add(value: number): void {
    this.#seen += 1;
    if (value > this.#largest) this.#largest = value;
    if (this.#values.length < mostSamples) {
      this.#values.push(value);
      return;
    }
    // Algorithm R (Vitter, 1985).
    const place = Math.floor(this.#random() * this.#seen);
    if (place < mostSamples) this.#values[place] = value;
  }

  /** Hands out what there is, rounded to microseconds, and begins anew. Nothing, where there was none. */
  take(): number[] | undefined {
    if (this.#seen === 0) return undefined;
    const values = this.#values.splice(0);
    if (!values.includes(this.#largest)) values[0] = this.#largest;
    this.#seen = 0;
    this.#largest = 0;
    return values.map((value) => Math.round(value * 1000) / 1000);
  }
}
