/** One link: a TCP proxy in front of one address. Its condition can be changed at any time. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createSequencer, messageOf, portError } from '@thermomesh/runtime';
import { blocks, passing, type LinkCondition } from './condition.ts';
import { linksError } from './errors.ts';
import { defaultLinkLimits, type LinkLimits } from './limits.ts';
import { createPipe, type Pipe } from './pipe.ts';
import { reset } from './reset.ts';

export interface LinkSpec {
  name: string;
  /** Port on 127.0.0.1 that the link listens on; 0 takes a free one. */
  port: number;
  target: { host: string; port: number };
}

export interface Link {
  readonly name: string;
  readonly port: number;
  readonly condition: LinkCondition;
  /** Number of connections that are open or wait for their connection to the target. */
  connections(): number;
  /**
   * Changes the condition and returns when it holds: after a cut no connection is left, after
   * another condition the link accepts connections again.
   */
  set(condition: LinkCondition): Promise<void>;
  /** Resets all connections and stops listening. Idempotent. */
  close(): Promise<void>;
}

/** Opens a link that passes everything. @throws MeshError `links.port_taken` */
export async function openLink(spec: LinkSpec, limits: LinkLimits = defaultLinkLimits): Promise<Link> {
  const proxy = new Proxy(spec, limits);
  await proxy.listen();
  return proxy;
}

/**
 * A connection that was accepted. The target is dialled only while the condition lets a TCP
 * handshake through.
 */
interface Connection {
  near: Socket;
  far: Socket | undefined;
  forward: Pipe | undefined;
  backward: Pipe | undefined;
}

class Proxy implements Link {
  readonly name: string;
  port: number;
  condition: LinkCondition = passing;
  readonly #target: LinkSpec['target'];
  readonly #limits: LinkLimits;
  readonly #open = new Set<Connection>();
  readonly #inSequence = createSequencer();
  #server: Server | undefined;
  #closed = false;

  constructor({ name, port, target }: LinkSpec, limits: LinkLimits) {
    this.name = name;
    this.port = port;
    this.#target = target;
    this.#limits = limits;
  }

  connections(): number {
    return this.#open.size;
  }

  set(condition: LinkCondition): Promise<void> {
    // One change after the other: a port that is still being released cannot be listened on again.
    return this.#inSequence(async () => this.#change(condition));
  }

  async close(): Promise<void> {
    if (!this.#closed) await this.set({ ...passing, state: 'cut' });
    this.#closed = true;
  }

  async listen(): Promise<void> {
    if (this.#server !== undefined) return;
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (near) =>
      this.#accept(near),
    );
    try {
      server.listen(this.port, '127.0.0.1');
      await once(server, 'listening');
    } catch (error) {
      const why = portError(error, this.port, 'LINKS')?.message ?? messageOf(error);
      throw linksError('links.port_taken', `link ${this.name} cannot listen: ${why}`, { cause: error });
    }
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  async #change(condition: LinkCondition): Promise<void> {
    if (this.#closed) throw linksError('links.closed', `link ${this.name} is closed`);
    this.condition = condition;
    if (condition.state === 'cut') return this.#cut();
    for (const connection of this.#open) this.#apply(connection);
    await this.listen();
  }

  async #cut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const done = server === undefined ? undefined : new Promise((resolve) => server.close(resolve));
    for (const connection of this.#open) this.#reset(connection);
    await done;
  }

  #reset(connection: Connection): void {
    this.#open.delete(connection);
    connection.forward?.close();
    connection.backward?.close();
    reset(connection.near);
    if (connection.far !== undefined) reset(connection.far);
  }

  #accept(near: Socket): void {
    // The pipes react to 'close'; an error without a listener would end the process.
    near.on('error', () => undefined);
    if (this.#server === undefined || this.#open.size >= this.#limits.connectionsMax) {
      reset(near);
      return;
    }
    const connection: Connection = { near, far: undefined, forward: undefined, backward: undefined };
    this.#open.add(connection);
    near.once('close', () => this.#forget(connection));
    this.#apply(connection);
  }

  #apply(connection: Connection): void {
    const { condition } = this;
    // A TCP handshake needs both directions.
    if (connection.far === undefined && condition.state === 'pass') this.#dial(connection);
    connection.forward?.apply(condition, blocks(condition, 'forward'));
    connection.backward?.apply(condition, blocks(condition, 'backward'));
  }

  #dial(connection: Connection): void {
    const { near } = connection;
    const { queueBytesMax, dialTimeoutMs } = this.#limits;
    const far = connect({ ...this.#target, allowHalfOpen: true, noDelay: true });
    connection.far = far;
    const timer = setTimeout(() => far.destroy(), dialTimeoutMs);
    far.on('error', () => undefined);
    far.once('connect', () => clearTimeout(timer));
    far.once('close', () => {
      clearTimeout(timer);
      this.#forget(connection);
    });
    connection.forward = createPipe(near, far, queueBytesMax);
    connection.backward = createPipe(far, near, queueBytesMax);
  }

  #forget(connection: Connection): void {
    const { near, far } = connection;
    if (near.destroyed && (far === undefined || far.destroyed)) this.#open.delete(connection);
  }
}
