interface Watcher {
  readonly met: () => boolean;
  readonly resolve: () => void;
}

/** Promises for conditions on a pool's numbers. Free while nobody waits for one. */
export class Conditions {
  #watchers: Watcher[] = [];
  #scheduled = false;

  /** Whether anybody waits for one. */
  get watched(): boolean {
    return this.#watchers.length > 0;
  }

  /** Resolves once the condition holds at the end of a turn's bookkeeping; at once when it holds already. */
  until(met: () => boolean): Promise<void> {
    if (met()) return Promise.resolve();
    return new Promise((resolve) => void this.#watchers.push({ met, resolve }));
  }

  /** Something has changed. Conditions are looked at after the turn, never in the middle of a change. */
  noteChange(): void {
    if (!this.watched || this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      const met = this.#watchers.filter((watcher) => watcher.met());
      this.#watchers = this.#watchers.filter((watcher) => !met.includes(watcher));
      for (const watcher of met) watcher.resolve();
    });
  }
}
