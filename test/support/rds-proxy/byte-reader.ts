/** Reads a socket by the number of bytes, as the unframed beginning of a connection needs it. */
import type { Socket } from 'node:net';

/** The client went away, or its TLS broke, before it said what was expected next. */
export class ClientGone extends Error {}

/** Takes bytes off a socket until `release()` hands the rest to somebody else. */
export class ByteReader {
  readonly #socket: Socket;
  #bytes: Buffer = Buffer.alloc(0);
  #gone = false;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', this.#onData);
    socket.on('close', this.#onClose);
    socket.on('end', this.#onClose);
  }

  /** How many bytes are there that nobody has taken. */
  get buffered(): number {
    return this.#bytes.length;
  }

  /** Waits for so many bytes and leaves them there. @throws ClientGone */
  async peek(count: number): Promise<Buffer> {
    while (this.#bytes.length < count) {
      if (this.#gone) throw new ClientGone();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#bytes.subarray(0, count);
  }

  /** Waits for so many bytes and takes them. @throws ClientGone */
  async take(count: number): Promise<Buffer> {
    const taken = await this.peek(count);
    this.#bytes = this.#bytes.subarray(count);
    return taken;
  }

  /** Leaves the socket and returns what was read too much. */
  release(): Buffer {
    this.#socket.off('data', this.#onData);
    this.#socket.off('close', this.#onClose);
    this.#socket.off('end', this.#onClose);
    return this.#bytes;
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    this.#wake?.();
  };

  readonly #onClose = (): void => {
    this.#gone = true;
    this.#wake?.();
  };
}
