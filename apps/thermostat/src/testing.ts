/**
 * Helpers of the integration tests: the real gateway as a process, and a relay between it and the
 * devices that a test can hold and cut.
 */
import { once } from 'node:events';
import { spawn, type ChildProcess } from 'node:child_process';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import path from 'node:path';

export const secret = 'integration-tests-of-the-thermostats-0123456789';
const gatewayMain = path.resolve(import.meta.dirname, '../../../services/gateway/src/main.ts');
export const thermostatMain = path.resolve(import.meta.dirname, 'main.ts');
const readyTimeoutMs = 30_000;

/** A running gateway; it is killed when the handle is disposed. */
export interface Gateway extends AsyncDisposable {
  readonly mqttPort: number;
  readonly httpPort: number;
  kill(): Promise<void>;
}

/** Starts the gateway. @param port the port of a killed gateway, to start it there again */
export async function startGateway(dataFolder: string, port = 0): Promise<Gateway> {
  const child = spawn(process.execPath, [gatewayMain], {
    env: {
      MESH_SECRET: secret,
      DATA_DIR: dataFolder,
      MQTT_PORT: String(port),
      HTTP_PORT: '0',
      LOG_LEVEL: 'warn',
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const kill = async () => killed(child);
  try {
    const { mqttPort, httpPort } = await readyOf(child);
    return { mqttPort, httpPort, kill, [Symbol.asyncDispose]: kill };
  } catch (error) {
    await kill();
    throw error;
  }
}

async function readyOf(child: ChildProcess): Promise<{ mqttPort: number; httpPort: number }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ mqttPort: number; httpPort: number }>();
  const deadline = setTimeout(
    () => reject(new Error(`the gateway was not ready in ${readyTimeoutMs} ms`)),
    readyTimeoutMs,
  );
  const onExit = (code: number | null) =>
    reject(new Error(`the gateway ended with ${String(code)} before it was ready`));
  child.once('exit', onExit);
  child.on('message', (message: { ready?: boolean; mqttPort: number; httpPort: number }) => {
    if (message.ready === true) resolve(message);
  });
  try {
    return await promise;
  } finally {
    clearTimeout(deadline);
    child.off('exit', onExit);
  }
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

/** A TCP relay that records PUBLISH packets and can hold back the packets of the broker. */
export interface Wire extends AsyncDisposable {
  readonly port: number;
  /** The first byte (the flags) of each PUBLISH, by connection in the order of connecting. */
  readonly published: number[][];
  /** Holds back all packets of the broker except CONNACK. */
  holdAcks(): void;
  /** Cuts all connections. */
  cut(): void;
  /** Relays the packets that were held back, and all later ones. */
  release(): void;
}

/** Starts a relay to the broker's port. */
export async function startWire(brokerPort: number): Promise<Wire> {
  const published: number[][] = [];
  const pairs = new Set<[Socket, Socket]>();
  let holding = false;
  const held: (() => void)[] = [];
  const server = createServer((device) => {
    const broker = connect(brokerPort, '127.0.0.1');
    const pair: [Socket, Socket] = [device, broker];
    pairs.add(pair);
    const flags: number[] = [];
    published.push(flags);
    const count = createPublishCounter(flags);
    device.on('data', (chunk: Buffer) => {
      count(chunk);
      broker.write(chunk);
    });
    broker.on('data', (chunk: Buffer) => {
      const isConnack = (chunk[0] ?? 0) >>> 4 === 2;
      if (holding && !isConnack) held.push(() => device.write(chunk));
      else device.write(chunk);
    });
    for (const socket of pair) {
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        pairs.delete(pair);
        for (const one of pair) one.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    for (const pair of pairs) for (const socket of pair) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    published,
    cut,
    holdAcks: () => {
      holding = true;
    },
    release: () => {
      holding = false;
      for (const send of held.splice(0)) send();
    },
    [Symbol.asyncDispose]: async () => {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Returns a function that collects the first byte of each PUBLISH; chunks may be cut anywhere. */
function createPublishCounter(flags: number[]): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      let length = 0;
      let at = 1;
      for (let shift = 1; ; shift *= 128) {
        const digit = rest[at++];
        if (digit === undefined) return;
        length += (digit & 0x7f) * shift;
        if (digit < 0x80) break;
      }
      if (rest.length < at + length) return;
      if ((rest[0] ?? 0) >>> 4 === 3) flags.push(rest[0] ?? 0);
      rest = rest.subarray(at + length);
    }
  };
}
