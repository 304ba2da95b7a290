// Holds one limit over the pools of all threads of a process: whoever wants to open a connection waits here for leave,
// and gives one up that it does not use when others wait. Loaded only where `maxPerEnvironment` is set. It must not know
// what is opened.

import type { Permits } from '../pg/permits.ts';
import type { CreateContext, Pool } from '../pool/index.ts';
import { unsupportedError, waitingFor } from './environment-limit-error.ts';
import { decode, EnvironmentSlots, type Question } from './environment-slots.ts';
import { giveUpIdle, type IdlePool } from './give-up-idle.ts';
import type { HeldName, Reply } from './kernel-name.ts';
import { isOvertaken, pause, placeMillis, takeTurn } from './turn.ts';

/** What is limited, and how far. */
export interface EnvironmentLimitOptions {
  readonly limit: number;
  /** Shares its limit with the pools of its name in other threads. */
  readonly pool: IdlePool<unknown> & Pick<Pool<unknown>, 'options'>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Somebody who waits for leave. Settled once, in the turn in which that is decided. */
interface Wait {
  readonly since: bigint;
  /** Says that it must wait, and why. */
  tell(): void;
  resolve(slot: number): void;
  reject(error: unknown): void;
}

/** Leave to open connections, as far as all threads of the process together have not opened as many as there may be. */
export class EnvironmentLimit implements Pick<Permits, 'take' | 'wanted'> {
  readonly #options: EnvironmentLimitOptions;
  readonly #prefix: string;
  readonly #slots: EnvironmentSlots;
  /** In the order in which they came. */
  readonly #waits = new Set<Wait>();
  /** Those that nobody needs just now: whoever wanted the connection was served otherwise. */
  readonly #dormant = new Set<Wait>();
  #serving = false;
  /** Fires when nobody waits any more. */
  #nobody = new AbortController();
  /** Whether the limit was reached when last looked at. */
  #full = false;
  #stopObserving: (() => void) | undefined;
  #looking = false;
  #givingUp = false;
  /** Connections on their way out for somebody else. */
  #leaving = 0;
  /** What others who wait have asked for and not got; `found` is being given back for them just now. */
  #wanted: Question | 'found' | undefined;

  constructor(options: EnvironmentLimitOptions) {
    this.#options = options;
    this.#prefix = prefixOf(options.pool.options.name);
    this.#slots = new EnvironmentSlots(this.#prefix, options.limit, {
      asked: (question, answer) => void this.#asked(decode(question)).then(answer),
      changed: () => {
        if (!this.#slots.called) this.#wanted = undefined;
      },
    });
  }

  /** @throws EnvironmentLimitError when this platform cannot keep the limit */
  async take(context: CreateContext): Promise<() => void> {
    const { limit, env } = this.#options;
    if (process.platform !== 'linux') {
      // There is one pool then, and its own `max` keeps the limit.
      const { isMainThread } = process.getBuiltinModule('node:worker_threads');
      if (isMainThread && !env['AWS_LAMBDA_MAX_CONCURRENCY']) return ignore;
      throw unsupportedError(limit);
    }
    const slot = await this.#wait(context);
    return () => {
      if (this.#slots.giveBack(slot)) this.#leaving = Math.max(0, this.#leaving - 1);
    };
  }

  wanted(): boolean {
    if (this.#wanted === undefined || !this.#spares(this.#wanted)) return false;
    this.#wanted = undefined;
    this.#leaving += 1;
    return true;
  }

  /** Whether what comes back goes to another thread. One that has nothing comes before anybody who has something. */
  #spares(wanted: Question | 'found'): boolean {
    if (wanted === 'found' || this.#options.pool.stats().waiting === 0) return true;
    return 'held' in wanted && (wanted.held === 0 || wanted.held + 1 < this.#slots.held);
  }

  #wait({ signal, phase }: CreateContext): Promise<number> {
    return new Promise((resolve, reject) => {
      let told = false;
      const leave = (): boolean => {
        if (!this.#waits.delete(wait) && !this.#dormant.delete(wait)) return false;
        signal.removeEventListener('abort', onAbort);
        this.#changed();
        return true;
      };
      const wait: Wait = {
        since: process.hrtime.bigint(),
        tell: () => {
          if (told) return;
          told = true;
          phase(...waitingFor(this.#options.limit, this.#slots.held));
          this.#observe();
        },
        resolve: (slot) => {
          if (leave()) resolve(slot);
        },
        reject: (error) => {
          if (leave()) reject(error);
        },
      };
      const onAbort = (): void => wait.reject(signal.reason);
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waits.add(wait);
      if (this.#full) wait.tell();
      void this.#serve();
    });
  }

  /** One at a time, for all who wait here: threads take turns, not those who wait in them. */
  async #serve(): Promise<void> {
    if (this.#serving) return;
    this.#serving = true;
    for (let [longest] = this.#waits; longest; [longest] = this.#waits) {
      this.#nobody = new AbortController();
      const { signal } = this.#nobody;
      try {
        await this.#serveInTurn(longest.since, signal);
      } catch (error) {
        // Whoever came after everybody had left is served next.
        if (!signal.aborted) for (const wait of [...this.#waits]) wait.reject(error);
      }
    }
    this.#serving = false;
  }

  /** Has the turn, and serves those who wait as far as there is room; then one, or nobody if others have fewer places. */
  async #serveInTurn(since: bigint, signal: AbortSignal): Promise<void> {
    const overtaken = new AbortController();
    const look = (): void => {
      if (isOvertaken(turn, this.#slots.held)) overtaken.abort();
    };
    const turn: HeldName = await takeTurn(
      {
        name: `${this.#prefix}/turn`,
        since,
        held: () => this.#slots.held,
        told: () => this.#mustWait(),
        callers: { asked: ignore, changed: look },
      },
      signal,
    );
    this.#full = false;
    try {
      while (this.#waits.size > 0 && !(this.#full && turn.callers > 0)) {
        const free = await this.#slots.firstFree(signal);
        if (free === undefined) {
          signal.throwIfAborted();
          this.#mustWait();
          turn.tell('no');
        }
        look();
        this.#hand(free ?? (await this.#slots.anyFreed(AbortSignal.any([signal, overtaken.signal]))));
      }
    } catch (error) {
      if (!overtaken.signal.aborted) throw error;
    } finally {
      await this.#endTurn(turn);
    }
  }

  async #endTurn(turn: HeldName): Promise<void> {
    const inOrder = this.#full;
    this.#full = false;
    if (inOrder) await turn.hear();
    const others = turn.callers > 0;
    turn.release(inOrder);
    // Whoever lets go of a name would be the first to have it again.
    if (inOrder && others) await pause(placeMillis, this.#nobody.signal);
  }

  #hand(slot: number): void {
    const [longest] = this.#waits;
    if (longest) longest.resolve(slot);
    else this.#slots.giveBack(slot);
  }

  #mustWait(): void {
    this.#full = true;
    for (const wait of this.#waits) wait.tell();
  }

  /** Somebody in another thread waits for one of ours. Only one at a time does: what is on its way out is for that one. */
  async #asked(question: Question): Promise<Reply> {
    if (this.#givingUp || this.#leaving > 0) return 'soon';
    this.#wanted = question;
    this.#givingUp = true;
    const given = await giveUpIdle(this.#options.pool, (lease) => {
      this.#wanted = 'found';
      lease.release({ proven: false });
    });
    this.#givingUp = false;
    return given ? 'soon' : 'no';
  }

  /** Watches the pool while somebody waits: what comes back to it may serve its callers before leave is given. */
  #observe(): void {
    this.#stopObserving ??= this.#options.pool.observe(({ type }) => {
      if (type === 'queued' && this.#dormant.size > 0) this.#balance();
      if (this.#looking || (type !== 'acquired' && type !== 'acquire-failed')) return;
      this.#looking = true;
      setImmediate(() => this.#balance());
    });
  }

  #changed(): void {
    if (this.#waits.size > 0) return;
    this.#nobody.abort();
    if (this.#dormant.size > 0) return;
    this.#stopObserving?.();
    this.#stopObserving = undefined;
  }

  /**
   * Has as many wait as the pool's callers need: more would keep other threads waiting, and make them give up theirs. The
   * rest sleep until a caller comes, or the pool abandons them: a creation that fails is the failure of a caller.
   */
  #balance(): void {
    this.#looking = false;
    const { creating, validating, waiting } = this.#options.pool.stats();
    let surplus = creating + validating - this.#dormant.size - waiting;
    for (const wait of [...this.#waits].toReversed()) {
      if (surplus <= 0) break;
      surplus -= 1;
      this.#waits.delete(wait);
      this.#dormant.add(wait);
    }
    for (const wait of this.#dormant) {
      if (surplus >= 0) break;
      surplus += 1;
      this.#dormant.delete(wait);
      this.#waits.add(wait);
    }
    this.#changed();
    if (this.#waits.size > 0) void this.#serve();
  }
}

/** What no other process has: several may share one network, and with it the kernel's names, yet each count from 1. */
function prefixOf(name: string): string {
  const { createHash } = process.getBuiltinModule('node:crypto');
  const pool = createHash('sha256').update(name).digest('base64url').slice(0, 16);
  return `thawpool/${processNamespace()}.${process.pid}/${pool}`;
}

function processNamespace(): string {
  try {
    return /\d+/.exec(process.getBuiltinModule('node:fs').readlinkSync('/proc/self/ns/pid'))?.[0] ?? '';
  } catch {
    // Two processes that are taken for one share a limit, which keeps it.
    return '';
  }
}

function ignore(): void {}
