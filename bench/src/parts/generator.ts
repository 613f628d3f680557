/** A generator process and one window of its traffic. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ConnectArgs, GeneratorReading, SendArgs } from '../children/generator.ts';
import type { Callee } from './child.ts';
import { startChild, type World } from './world.ts';

/** Above this share of a core the generator itself may limit the rate. */
const busyMax = 0.95;
/** A generator that owes more than this share of what was due has not kept its rate. */
const owedShareMax = 0.02;
/** Characters of the generator's name in the ids of its devices. */
const nameChars = 5;

/** How readings come: `b1` paced, one packet a write, as real devices do; `b20` in bursts of 20. */
export interface Shape {
  name: 'b1' | 'b20';
  burst: number;
  devices: number;
}

export interface Generator {
  readonly callee: Callee;
  connect(): Promise<void>;
  /** Closes all connections; no reading may be in flight. */
  disconnect(): Promise<void>;
  /** Sends as fast as the broker acknowledges: each device has one burst in flight. */
  sendClosed(shape: Shape, readingsMax?: number): Promise<void>;
  /** Sends `rate` readings per second. */
  sendPaced(shape: Shape, rate: number): Promise<void>;
  /** Changes the rate of what is being sent. */
  rate(rate: number): Promise<void>;
  /** Stops sending, and resolves when every reading is acknowledged. */
  pause(): Promise<GeneratorReading>;
  /** Resolves when every requested reading is sent and acknowledged. */
  settled(): Promise<GeneratorReading>;
  read(): Promise<GeneratorReading>;
  /** Measures the traffic until `end` is called. */
  window(): Promise<{ end(): Promise<Traffic> }>;
}

/** One window of traffic. */
export interface Traffic {
  seconds: number;
  sentPerSecond: number;
  ackedPerSecond: number;
  acked: number;
  ackMs: GeneratorReading['ackMs'];
  /** Share of the window in which the generator's thread was busy. */
  generatorBusy: number;
  /** False if paced traffic fell behind its rate. */
  rateKept: boolean;
  /** True if the generator may have been the bottleneck. */
  generatorLimited: boolean;
}

export interface GeneratorOptions {
  name: string;
  port: number;
  devices: number;
  /** False for a broker without logins. */
  login: boolean;
}

/** Starts a generator and connects its devices. */
export async function startGenerator(world: World, options: GeneratorOptions): Promise<Generator> {
  const { name, port, devices, login } = options;
  const callee = await startChild(world, `generator-${name}`, 'generator');
  const target: ConnectArgs = {
    host: '127.0.0.1',
    port,
    devices,
    prefix: `bench-${name.padEnd(nameChars, 'x').slice(0, nameChars)}`,
    secret: login ? world.secret : null,
  };
  const connect = async () => callee.call<void>('connect', target);
  await connect();
  const send = async (args: SendArgs) => callee.call<void>('send', args);
  let paced = false;
  return {
    callee,
    connect,
    disconnect: async () => callee.call('disconnect'),
    sendClosed: async ({ burst, devices }, readingsMax) => {
      paced = false;
      await send({ rate: null, burst, devices, readingsMax: readingsMax ?? null });
    },
    sendPaced: async ({ burst, devices }, rate) => {
      paced = true;
      await send({ rate, burst, devices, readingsMax: null });
    },
    rate: async (rate) => callee.call('rate', rate),
    pause: async () => {
      await send({ rate: 0, burst: 1, devices: 1, readingsMax: 0 });
      return callee.call('settled');
    },
    settled: async () => callee.call('settled'),
    read: async () => callee.call('read'),
    window: async () => {
      const before = await callee.call<GeneratorReading>('mark');
      return { end: async () => trafficOf(before, await callee.call<GeneratorReading>('read'), paced) };
    },
  };
}

/** The traffic between two readings of the generator. */
export function trafficOf(before: GeneratorReading, after: GeneratorReading, paced: boolean): Traffic {
  const seconds = (after.atMs - before.atMs) / 1000;
  const sent = after.sent - before.sent;
  const rateKept = !paced || after.owed - before.owed <= owedShareMax * (sent + after.owed - before.owed);
  return {
    seconds,
    sentPerSecond: sent / seconds,
    ackedPerSecond: (after.acked - before.acked) / seconds,
    acked: after.acked - before.acked,
    ackMs: after.ackMs,
    generatorBusy: after.busy,
    rateKept,
    generatorLimited: after.busy > busyMax,
  };
}

/** Measures the traffic for `ms`, and leaves the generator sending. */
export async function windowOf(generator: Generator, ms: number): Promise<Traffic> {
  const window = await generator.window();
  await delay(ms);
  return window.end();
}
