/** One link: a TCP proxy in front of one address, whose condition can be changed at any time. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { MeshError } from '@thermomesh/runtime';
import { blocks, passing, type LinkCondition } from './condition.ts';
import { defaultLinkLimits, type LinkLimits } from './limits.ts';
import { createPipe, type Pipe } from './pipe.ts';
import { reset } from './reset.ts';

export interface LinkSpec {
  name: string;
  /** Where it listens on 127.0.0.1; 0 takes a free port. */
  port: number;
  target: { host: string; port: number };
}

export interface Link {
  readonly name: string;
  readonly port: number;
  readonly condition: LinkCondition;
  /** Connections that are open or wait to be connected to the target. */
  connections(): number;
  /** Returns when it is so: after a cut nothing is connected any more, afterwards new connections are taken again. */
  set(condition: LinkCondition): Promise<void>;
  /** Resets what is open and stops listening. Idempotent. */
  close(): Promise<void>;
}

/** @throws MeshError `links.port_taken` */
export async function openLink(spec: LinkSpec, limits: LinkLimits = defaultLinkLimits): Promise<Link> {
  const proxy = new Proxy(spec, limits);
  await proxy.listen();
  return proxy;
}

/** A connection that was taken; its other half is dialled only when the link lets a handshake through. */
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
  private readonly target: LinkSpec['target'];
  private readonly limits: LinkLimits;
  private readonly open = new Set<Connection>();
  private server: Server | undefined;
  private changing: Promise<void> = Promise.resolve();
  private closed = false;

  constructor({ name, port, target }: LinkSpec, limits: LinkLimits) {
    this.name = name;
    this.port = port;
    this.target = target;
    this.limits = limits;
  }

  connections(): number {
    return this.open.size;
  }

  set(condition: LinkCondition): Promise<void> {
    // One change after the other: a port that is being given back cannot be listened on again.
    const change = this.changing.then(() => this.change(condition));
    this.changing = change.catch(() => undefined);
    return change;
  }

  async close(): Promise<void> {
    if (!this.closed) await this.set({ ...passing, state: 'cut' });
    this.closed = true;
  }

  async listen(): Promise<void> {
    if (this.server !== undefined) return;
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (near) =>
      this.accept(near),
    );
    try {
      server.listen(this.port, '127.0.0.1');
      await once(server, 'listening');
    } catch (error) {
      throw new MeshError('links.port_taken', `link ${this.name} cannot listen on port ${this.port}`, {
        cause: error,
      });
    }
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  private async change(condition: LinkCondition): Promise<void> {
    if (this.closed) throw new MeshError('links.closed', `link ${this.name} is closed`);
    this.condition = condition;
    if (condition.state === 'cut') return this.cut();
    for (const connection of this.open) this.apply(connection);
    await this.listen();
  }

  private async cut(): Promise<void> {
    const server = this.server;
    this.server = undefined;
    const done = server === undefined ? undefined : new Promise((resolve) => server.close(resolve));
    for (const connection of this.open) this.reset(connection);
    await done;
  }

  private reset(connection: Connection): void {
    this.open.delete(connection);
    connection.forward?.close();
    connection.backward?.close();
    reset(connection.near);
    if (connection.far !== undefined) reset(connection.far);
  }

  private accept(near: Socket): void {
    // The pipes hear of it by 'close'; an error without a listener would end the process.
    near.on('error', () => undefined);
    if (this.server === undefined || this.open.size >= this.limits.connectionsMax) {
      reset(near);
      return;
    }
    const connection: Connection = { near, far: undefined, forward: undefined, backward: undefined };
    this.open.add(connection);
    near.once('close', () => this.forget(connection));
    this.apply(connection);
  }

  private apply(connection: Connection): void {
    const { condition } = this;
    // A handshake needs both ways.
    if (connection.far === undefined && condition.state === 'pass') this.dial(connection);
    connection.forward?.apply(condition, blocks(condition, 'forward'));
    connection.backward?.apply(condition, blocks(condition, 'backward'));
  }

  private dial(connection: Connection): void {
    const { near } = connection;
    const { queueBytesMax, dialTimeoutMs } = this.limits;
    const far = connect({ ...this.target, allowHalfOpen: true, noDelay: true });
    connection.far = far;
    const timer = setTimeout(() => far.destroy(), dialTimeoutMs);
    far.on('error', () => undefined);
    far.once('connect', () => clearTimeout(timer));
    far.once('close', () => {
      clearTimeout(timer);
      this.forget(connection);
    });
    connection.forward = createPipe(near, far, queueBytesMax);
    connection.backward = createPipe(far, near, queueBytesMax);
  }

  private forget(connection: Connection): void {
    const { near, far } = connection;
    if (near.destroyed && (far === undefined || far.destroyed)) this.open.delete(connection);
  }
}
