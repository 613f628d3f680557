/** Hostile MQTT connections: packets that are valid, forbidden, cut, swollen or noise. */
import { connect } from 'node:net';
import fc from 'fast-check';
import { generate, type Packet } from 'mqtt-packet';

/** What one connection sends: a login or none, then packets. */
export interface FuzzConnection {
  login: 'none' | 'device' | 'clean drain' | 'wrong';
  packets: Buffer[];
}

const topics = [
  ...[
    'thermostat/data/fuzz',
    'thermostat/data',
    'thermostat/data/other',
    'thermostat/status/fuzz',
    '$SYS/x',
    '/',
  ],
  ...['thermostat/command/fuzz', 'mesh/analytics/coordinator', 'a'.repeat(2_000), 'x/'.repeat(200), 'ü/💥'],
];
const filters = [...topics, '#', '+', '$share/g/thermostat/#', 'thermostat/#/x', 'a+', '+/+/fuzz', '$SYS/#'];
const payloads = [
  ...[
    '',
    '{',
    'unavailable',
    '{"deviceId":"fuzz","seq":-1}',
    '{"deviceId":"fuzz","seq":1,"celsius":1e400}',
    '\0',
  ],
  '{"deviceId":"fuzz","seq":1,"measuredAt":"2026-02-30T12:00:00Z","celsius":1}',
];

/** Connections of a few packets each; a connection that the broker closes ends early. */
export function connections(): fc.Arbitrary<FuzzConnection> {
  return fc.record({
    login: fc.constantFrom('device', 'device', 'device', 'none', 'clean drain', 'wrong'),
    packets: fc.array(
      fc.oneof({ weight: 4, arbitrary: damaged(valid()) }, { weight: 1, arbitrary: noise() }),
      {
        minLength: 1,
        maxLength: 30,
      },
    ),
  });
}

function valid(): fc.Arbitrary<Buffer> {
  const id = fc.integer({ min: 1, max: 65_535 });
  const qos = fc.constantFrom<0 | 1 | 2>(0, 1, 2);
  const packet: fc.Arbitrary<Packet> = fc.oneof(
    fc
      .record({
        cmd: fc.constant('publish' as const),
        topic: fc.constantFrom(...topics),
        payload: fc.oneof(fc.constantFrom(...payloads), fc.string({ unit: 'binary', maxLength: 200 })),
        qos,
        messageId: id,
        retain: fc.boolean(),
        dup: fc.boolean(),
      })
      .map((each) => ({ ...each, dup: each.dup && each.qos > 0 })),
    fc.record({
      cmd: fc.constant('subscribe' as const),
      messageId: id,
      subscriptions: fc.array(fc.record({ topic: fc.constantFrom(...filters), qos }), {
        minLength: 1,
        maxLength: 5,
      }),
    }),
    fc.record({
      cmd: fc.constant('unsubscribe' as const),
      messageId: id,
      unsubscriptions: fc.array(fc.constantFrom(...filters), { minLength: 1, maxLength: 3 }),
    }),
    fc.record({
      cmd: fc.constantFrom('puback', 'pubrec', 'pubrel', 'pubcomp'),
      messageId: id,
    }) as fc.Arbitrary<Packet>,
    fc.constantFrom<Packet>({ cmd: 'pingreq' }, { cmd: 'pingresp' }, { cmd: 'disconnect' }),
    fc.constant(connectPacket('fuzz-again', 'fuzz', 'x', true)),
  );
  return packet.map((each) => generate(each));
}

/** As it is, with a byte changed, cut, or with a length that promises more. */
function damaged(packets: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> {
  return fc.tuple(packets, fc.nat(9), fc.nat(), fc.nat(255)).map(([packet, kind, at, byte]) => {
    const bytes = Buffer.from(packet);
    if (kind === 0) bytes[at % bytes.length] = byte;
    if (kind === 1) return bytes.subarray(0, at % bytes.length);
    if (kind === 2) return Buffer.concat([bytes.subarray(0, 1), Buffer.from([0xff, 0xff, 0xff, 0x7f])]);
    return bytes;
  });
}

function noise(): fc.Arbitrary<Buffer> {
  return fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes));
}

function connectPacket(clientId: string, username: string, password: string, clean: boolean): Packet {
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clientId,
    username,
    password: Buffer.from(password),
    clean,
    keepalive: 60,
  };
}

/** Sends one connection's packets and waits until the broker has closed it, or has read all. */
export async function play(
  place: { host: string; port: number },
  { login, packets }: FuzzConnection,
  { token, id }: { token: string; id: string },
): Promise<void> {
  const socket = connect(place);
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
    // A reset is one way in which a broker closes.
    socket.on('error', () => undefined);
  });
  socket.resume();
  const hello = {
    none: Buffer.alloc(0),
    device: generate(connectPacket(id, id, token, false)),
    wrong: generate(connectPacket(id, id, 'wrong', true)),
    'clean drain': generate(connectPacket('thermomesh-drain', 'node/1/9', token, true)),
  }[login];
  socket.write(Buffer.concat([hello, ...packets]));
  socket.end();
  const timer = setTimeout(() => socket.destroy(), closeTimeoutMs);
  await closed;
  clearTimeout(timer);
  socket.destroy();
}

/** How long the broker may take to close a connection whose sender has ended. */
const closeTimeoutMs = 15_000;
