/** For integration tests: the real gateway as a child process, and a wire between it and the devices that a test can hold. */
import { once } from 'node:events';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

export const secret = 'integration-tests-of-the-thermostats-0123456789';
const gatewayMain = path.resolve(import.meta.dirname, '../../../services/gateway/src/main.ts');
export const thermostatMain = path.resolve(import.meta.dirname, 'main.ts');
const readyTimeoutMs = 30_000;
const pollMs = 10;

/** Waits for a condition. @throws Error that says what was waited for */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = readyTimeoutMs,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** A folder that is gone after the test. */
export async function temporaryFolder(name: string): Promise<{ folder: string } & AsyncDisposable> {
  const folder = await mkdtemp(path.join(tmpdir(), `thermostat-${name}-`));
  return { folder, [Symbol.asyncDispose]: async () => rm(folder, { recursive: true, force: true }) };
}

export interface Gateway extends AsyncDisposable {
  readonly mqttPort: number;
  readonly httpPort: number;
  kill(): Promise<void>;
}

/** Starts the gateway; with `port` on the same port again after a kill. */
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

/** A TCP relay that counts PUBLISH packets and can hold back what the broker says. */
export interface Wire extends AsyncDisposable {
  readonly port: number;
  /** PUBLISH packets of each connection, in the order of connecting: first bytes are their flags. */
  readonly published: number[][];
  /** From now on nothing of the broker reaches the devices, but CONNACKs do. */
  holdAcks(): void;
  /** Cuts every connection. */
  cut(): void;
  /** What comes through is relayed again, for new connections too. */
  release(): void;
}

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

/** Collects the first byte of each PUBLISH in a stream of packets that is cut anywhere. */
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
