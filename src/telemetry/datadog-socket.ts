// A writer of DogStatsD's datagrams over UDP, for where no client is at hand. It loses metrics rather than hurt anybody.

import type { Socket } from 'node:dgram';
import type { DatadogClient, DatadogEventOptions } from './datadog-client.ts';

/** What a datagram holds at most, bytes: what passes an Ethernet whole (Datadog, DogStatsD: 1432). */
const fullDatagram = 1432;
/** What waits to be sent at most, bytes. Far above what one invocation has to say: some 2 KB. */
const mostWaiting = 65_536;

/** Where DogStatsD listens. */
export interface DatadogAddress {
  readonly host: string;
  readonly port: number;
}

/** A client, and what has it send what it keeps. */
export interface DatadogWriter {
  readonly client: DatadogClient;
  /** Hands everything to the kernel. Resolves when that is done, well or badly, and never rejects. */
  send(): Promise<void>;
  close(): void;
}

/**
 * Makes a client that writes to this address. It opens its socket with the first datagram, which keeps no process alive.
 *
 * @param failed - hears what could not be sent
 */
export function datadogWriter({ host, port }: DatadogAddress, failed: (error: unknown) => void): DatadogWriter {
  let lines: string[] = [];
  let waiting = 0;
  let socket: Socket | undefined;
  const keep = (line: string): void => {
    const size = Buffer.byteLength(line);
    if (size > fullDatagram || waiting + size > mostWaiting) {
      return failed(new RangeError(`${waiting} bytes wait to be sent, and a line of ${size} more was left out`));
    }
    lines.push(line);
    waiting += size + 1;
  };
  const open = (): Socket => {
    const { createSocket } = process.getBuiltinModule('node:dgram');
    const made = createSocket(process.getBuiltinModule('node:net').isIP(host) === 6 ? 'udp6' : 'udp4');
    // Without a listener an error would end the process.
    made.on('error', failed);
    return made.unref();
  };
  const send = (datagram: string): Promise<void> =>
    new Promise((resolve) => {
      socket ??= open();
      socket.send(datagram, port, host, (error) => {
        if (error) failed(error);
        resolve();
      });
    });
  const metric = (type: string) => (name: string, value: number, tags: string[]) =>
    keep(`${name}:${value}|${type}${tagged(tags)}`);
  return {
    client: {
      distribution: metric('d'),
      gauge: metric('g'),
      increment: metric('c'),
      event: (title, text, options, tags) => keep(eventLine(title, text, options, tags)),
    },
    send: async () => {
      const all = lines;
      lines = [];
      waiting = 0;
      try {
        await Promise.all(datagramsOf(all).map(send));
      } catch (error) {
        failed(error);
      }
    },
    close: () => {
      socket?.close();
      socket = undefined;
    },
  };
}

function tagged(tags: readonly string[]): string {
  return tags.length === 0 ? '' : `|#${tags.join(',')}`;
}

/** Lengths are of bytes, of the text as it is written, with the line's end as two characters. */
function eventLine(title: string, text: string, options: DatadogEventOptions, tags: readonly string[]): string {
  const written = text.replaceAll('\n', String.raw`\n`);
  const lengths = `${Buffer.byteLength(title)},${Buffer.byteLength(written)}`;
  return `_e{${lengths}}:${title}|${written}|k:${options.aggregation_key}|t:${options.alert_type}${tagged(tags)}`;
}

/** As many lines to a datagram as fit into it. */
function datagramsOf(lines: readonly string[]): string[] {
  const datagrams: string[] = [];
  let datagram = '';
  for (const line of lines) {
    const longer = datagram === '' ? line : `${datagram}\n${line}`;
    if (Buffer.byteLength(longer) <= fullDatagram) {
      datagram = longer;
      continue;
    }
    datagrams.push(datagram);
    datagram = line;
  }
  if (datagram !== '') datagrams.push(datagram);
  return datagrams;
}
