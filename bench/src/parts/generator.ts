/** A generator process and one window of its traffic. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ConnectArgs, GeneratorReading, SendArgs } from '../children/generator.ts';
import type { Shape } from '../ingest/plan.ts';
import type { Callee } from './child.ts';
import { startChild, type World } from './world.ts';

/** Above this share of a core the generator itself may be what limits the rate. */
const busyMax = 0.95;
/** A generator that owes more than this share of what was due has not kept its rate. */
const owedShareMax = 0.02;
/** Of its name in device ids. */
const nameChars = 5;

export interface Generator {
  readonly callee: Callee;
  connect(): Promise<void>;
  /** Nothing may be in flight. */
  disconnect(): Promise<void>;
  /** As fast as the broker acknowledges: each device has one burst in flight. */
  sendClosed(shape: Shape, readingsMax?: number): Promise<void>;
  /** Paced. */
  sendPaced(shape: Shape, rate: number): Promise<void>;
  rate(rate: number): Promise<void>;
  /** No more, and everything acknowledged. */
  pause(): Promise<GeneratorReading>;
  /** Everything that was asked for is acknowledged. */
  settled(): Promise<GeneratorReading>;
  read(): Promise<GeneratorReading>;
  /** What happens until `end` is called. */
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
  /** Paced traffic only: what was due was sent. */
  rateKept: boolean;
  /** True if the generator may have been the bottleneck. */
  generatorLimited: boolean;
}

export interface GeneratorOptions {
  name: string;
  port: number;
  devices: number;
  /** False for a broker that lets everybody in. */
  login: boolean;
}

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

/** What happened between two readings. */
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

/** Traffic of `ms`; the generator is left sending. */
export async function windowOf(generator: Generator, ms: number): Promise<Traffic> {
  const window = await generator.window();
  await delay(ms);
  return window.end();
}
