/**
 * One caller's connection: HTTP/1.1 on a raw socket, with one open request, so that the caller
 * itself uses as little CPU as possible.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface HttpAnswer {
  status: number;
  replayed: boolean;
}

const headEnd = '\r\n\r\n';

export class Connection {
  readonly #socket: Socket;
  #text = '';
  #waiting: PromiseWithResolvers<HttpAnswer> | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => this.#read(chunk));
    socket.on('error', (error) => this.#waiting?.reject(error));
    socket.on('close', () => this.#waiting?.reject(new Error('the connection was closed')));
  }

  static async open(host: string, port: number): Promise<Connection> {
    const socket = connect({ host, port, noDelay: true });
    await once(socket, 'connect');
    return new Connection(socket);
  }

  async send(request: string): Promise<HttpAnswer> {
    this.#waiting = Promise.withResolvers();
    this.#socket.write(request);
    return this.#waiting.promise;
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Every answer has a Content-Length, and the next request waits for the whole answer. */
  #read(chunk: string): void {
    this.#text += chunk;
    const bodyAt = this.#text.indexOf(headEnd) + headEnd.length;
    if (bodyAt < headEnd.length) return;
    const head = this.#text.slice(0, bodyAt).toLowerCase();
    const length = Number(/\r\ncontent-length: (\d+)/.exec(head)?.[1]);
    if (this.#text.length < bodyAt + length) return;
    const waiting = this.#waiting;
    this.#text = '';
    this.#waiting = undefined;
    if (Number.isNaN(length)) waiting?.reject(new Error(`no Content-Length: ${head}`));
    else
      waiting?.resolve({
        status: Number(head.slice(9, 12)),
        replayed: head.includes('idempotency-replayed: true'),
      });
  }
}
