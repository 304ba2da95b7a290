// What DogStatsD takes, read strictly: a line that Datadog would mend or drop in silence is an error here.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

export interface Metric {
  readonly name: string;
  readonly type: 'c' | 'g' | 'd';
  readonly value: number;
  readonly tags: readonly string[];
}

export interface Event {
  readonly title: string;
  readonly text: string;
  readonly key: string;
  readonly alert: string;
  readonly tags: readonly string[];
}

/** @throws Error when a line is none that DogStatsD takes as it stands */
export function parseDatagram(datagram: Buffer): (Metric | Event)[] {
  if (datagram.byteLength > 1432) throw new Error(`a datagram of ${datagram.byteLength} bytes`);
  const text = new TextDecoder('utf-8', { fatal: true }).decode(datagram);
  return text.split('\n').map((line) => (line.startsWith('_e{') ? eventOf(line) : metricOf(line)));
}

function metricOf(line: string): Metric {
  const [, name, value, type, tags] =
    /^([a-zA-Z][a-zA-Z0-9_.]{0,199}):(-?\d+(?:\.\d+)?)\|([cgd])(?:\|#(.+))?$/.exec(line) ?? [];
  if (name === undefined) throw new Error(`no metric: ${line}`);
  return { name, value: Number(value), type: type as Metric['type'], tags: tagsOf(tags, line) };
}

function eventOf(line: string): Event {
  const [head = '', titleBytes, textBytes] = /^_e\{(\d+),(\d+)\}:/.exec(line) ?? [];
  const rest = Buffer.from(line.slice(head.length));
  const title = rest.subarray(0, Number(titleBytes)).toString();
  const text = rest.subarray(Number(titleBytes) + 1, Number(titleBytes) + 1 + Number(textBytes)).toString();
  const fields = rest.subarray(Number(titleBytes) + 1 + Number(textBytes)).toString();
  const [all, key, alert, tags] = /^\|k:([^|]{1,100})\|t:(error|warning|info|success)(?:\|#(.+))?$/.exec(fields) ?? [];
  if (head === '' || all === undefined || rest[Number(titleBytes)] !== 0x7c) throw new Error(`no event: ${line}`);
  return { title, text, key: key ?? '', alert: alert ?? '', tags: tagsOf(tags, line) };
}

function tagsOf(tags: string | undefined, line: string): readonly string[] {
  const all = tags?.split(',') ?? [];
  const bad = all.filter((tag) => !/^\p{L}[\p{L}\p{N}_\-:./]{0,199}$/u.test(tag) || tag.endsWith(':'));
  if (bad.length > 0) throw new Error(`no tags: ${bad.join(' ')} in ${line}`);
  if (new Set(all).size !== all.length) throw new Error(`tags twice: ${line}`);
  return all;
}

/** A server that reads what it gets, at once. */
export class DogStatsd {
  readonly metrics: Metric[] = [];
  readonly events: Event[] = [];
  readonly faults: unknown[] = [];
  datagrams = 0;
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('message', (datagram) => this.#read(datagram));
  }

  static async start(host = '127.0.0.1'): Promise<DogStatsd> {
    const socket = createSocket('udp4');
    socket.bind(0, host);
    await once(socket, 'listening');
    return new DogStatsd(socket);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  /** Resolves with the next datagram. */
  async next(): Promise<void> {
    await once(this.#socket, 'message');
  }

  /** Resolves when it holds. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await this.next();
  }

  async stop(): Promise<void> {
    this.#socket.close();
    await once(this.#socket, 'close');
  }

  #read(datagram: Buffer): void {
    this.datagrams += 1;
    try {
      for (const one of parseDatagram(datagram)) {
        if ('title' in one) this.events.push(one);
        else this.metrics.push(one);
      }
    } catch (error) {
      this.faults.push(error);
    }
  }
}
