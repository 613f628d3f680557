/**
 * The generator as a process: devices that stay connected over all rounds, and send what the parent
 * asks for.
 */
import { deriveToken, subjects } from '@thermomesh/runtime';
import { createLatencyHistogram, latencyOf } from '@thermomesh/ledger';
import { Device } from './device.ts';
import { serve } from './serve.ts';

export interface ConnectArgs {
  host: string;
  port: number;
  devices: number;
  prefix: string;
  /** Null for a broker without logins. */
  secret: string | null;
}

/**
 * What to send: `rate` readings per second from `devices` devices, in bursts; a rate of null sends
 * as fast as the broker acknowledges.
 */
export interface SendArgs {
  rate: number | null;
  burst: number;
  devices: number;
  /** How many readings to send; null sends until the next call. */
  readingsMax: number | null;
}

export interface GeneratorReading {
  /** Unix ms of this process. */
  atMs: number;
  /** Readings since the start of the process. */
  sent: number;
  acked: number;
  /**
   * Readings that are due and not sent, because the generator was late or every window was full.
   */
  owed: number;
  /** Latencies since the last `mark`. */
  ackMs: { p50: number | null; p99: number | null; max: number | null };
  /** Share of the time since the last `mark` in which this process's loop was busy. */
  busy: number;
}

const connectsAtOnceMax = 100;
const tickMs = 1;
const deviceDigits = 5;

let devices: Device[] = [];
let mode: SendArgs = { rate: 0, burst: 1, devices: 1, readingsMax: null };
let histogram = createLatencyHistogram();
let markedLoop = performance.eventLoopUtilization();
let sent = 0;
let acked = 0;
let owed = 0;
let next = 0;
let quota = Number.POSITIVE_INFINITY;
let dueAtMs = performance.now();
let ticking = false;
let failure: Error | undefined;
const waiting: (() => void)[] = [];

async function connectAll({ host, port, devices: count, prefix, secret }: ConnectArgs): Promise<void> {
  devices = Array.from({ length: count }, (_, index) => {
    // The ids, and so the packets, have the same length in every arm.
    const deviceId = `${prefix}-${String(index).padStart(deviceDigits, '0')}`;
    return new Device({
      host,
      port,
      deviceId,
      onAcks,
      onError,
      password: secret === null ? undefined : deriveToken(secret, subjects.device(deviceId)),
      histogram: () => histogram,
    });
  });
  for (let from = 0; from < count; from += connectsAtOnceMax) {
    await Promise.all(devices.slice(from, from + connectsAtOnceMax).map(async (device) => device.open()));
  }
}

/** Closes all connections; no reading may be in flight. */
function disconnectAll(): void {
  for (const device of devices) device.close();
  devices = [];
}

function onError(error: Error): void {
  failure ??= error;
  wake();
}

function onAcks(device: Device, count: number): void {
  acked += count;
  if (mode.rate === null && device.inFlight === 0) burstOf(device);
  if (acked === sent) wake();
}

function wake(): void {
  for (const resolve of waiting.splice(0)) resolve();
}

function burstOf(device: Device): void {
  const count = Math.min(mode.burst, quota);
  if (count <= 0) return;
  quota -= count;
  sent += count;
  device.send(count);
}

function send(args: SendArgs): void {
  check();
  if (args.devices > devices.length) throw new RangeError(`only ${devices.length} devices are connected`);
  mode = args;
  quota = args.readingsMax ?? Number.POSITIVE_INFINITY;
  owed = 0;
  dueAtMs = performance.now();
  if (args.rate !== null && !ticking) tick();
  if (args.rate === null)
    for (const device of devices.slice(0, args.devices)) if (device.inFlight === 0) burstOf(device);
}

/**
 * Sends what has become due, one burst a device, in turn; skips a device whose window is full.
 */
function tick(): void {
  const { rate, burst, devices: count } = mode;
  ticking = rate !== null && rate > 0 && failure === undefined;
  if (!ticking || rate === null) return;
  const nowMs = performance.now();
  owed = Math.min(owed + ((nowMs - dueAtMs) / 1000) * rate, quota);
  dueAtMs = nowMs;
  let full = 0;
  while (owed >= burst && full < count) {
    const device = devices[next++ % count]!;
    if (device.hasRoom(burst)) {
      burstOf(device);
      owed -= burst;
      full = 0;
    } else full++;
  }
  setTimeout(tick, tickMs);
}

function check(): void {
  if (failure !== undefined) throw failure;
}

function read(): GeneratorReading {
  check();
  const busy = performance.eventLoopUtilization(markedLoop).utilization;
  return {
    atMs: performance.timeOrigin + performance.now(),
    sent,
    acked,
    owed,
    ackMs: latencyOf(histogram),
    busy,
  };
}

/** Resolves when all readings, up to `readingsMax`, are sent and acknowledged. */
async function settled(): Promise<GeneratorReading> {
  const open = () => failure === undefined && (acked < sent || (mode.readingsMax !== null && quota > 0));
  while (open()) await new Promise<void>((resolve) => waiting.push(resolve));
  return read();
}

serve({
  connect: connectAll,
  disconnect: disconnectAll,
  send,
  /** Changes the rate of what is being sent. */
  rate: (rate: number) => {
    check();
    mode = { ...mode, rate };
  },
  mark: () => {
    histogram = createLatencyHistogram();
    markedLoop = performance.eventLoopUtilization();
    return read();
  },
  read,
  settled,
});
