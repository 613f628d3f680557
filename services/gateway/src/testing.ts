/**
 * A gateway for tests with real sockets. Its store is LMDB in a temporary folder, unless the test
 * passes another one.
 */
import type { TestContext } from 'node:test';
import { drainClientId, nodeUsername, type BrokerDocument } from '@thermomesh/contracts';
import { createLog, deriveToken, subjects } from '@thermomesh/runtime';
import { temporaryFolder } from '@thermomesh/testing';
import { readGatewayConfig, settingsOf } from './config.ts';
import { createService, type BrokerParts, type GatewayService } from './service.ts';
import { connectClient, type TestClient } from './broker/adapters/testing/mqtt-client.ts';

export const testSecret = 'a secret of the tests, long enough to pass';

/** Makes an empty folder that is removed after the test. */
export async function folderFor(t: TestContext): Promise<string> {
  const temporary = await temporaryFolder('gateway');
  t.after(() => temporary[Symbol.asyncDispose]());
  return temporary.folder;
}

/** Settings of a gateway on free ports. */
export function testEnvironment(folder: string, more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return {
    MESH_SECRET: testSecret,
    DATA_DIR: folder,
    MQTT_PORT: '0',
    HTTP_PORT: '0',
    COMMIT_RETRY_MIN_MS: '5',
    COMMIT_RETRY_MAX_MS: '20',
    ...more,
  };
}

/** A running gateway, and clients for it. */
export interface TestGateway extends GatewayService {
  folder: string;
  device(deviceId: string, more?: Record<string, unknown>): Promise<TestClient>;
  node(clientId: string, more?: Record<string, unknown>): Promise<TestClient>;
  drain(epoch?: number, more?: Record<string, unknown>): Promise<TestClient>;
  /** The operator; its client id is `operator-1` unless the test names another one. */
  operator(clientId?: string, more?: Record<string, unknown>): Promise<TestClient>;
  /** The answer of /v1/broker. */
  broker(): Promise<BrokerDocument>;
  get(path: string): Promise<Response>;
}

/** Starts a gateway, and stops it after the test. */
export async function startGateway(
  t: TestContext,
  options: { folder?: string; env?: NodeJS.ProcessEnv; parts?: BrokerParts; logLines?: string[] } = {},
): Promise<TestGateway> {
  const folder = options.folder ?? (await folderFor(t));
  const settings = settingsOf(readGatewayConfig(testEnvironment(folder, options.env)));
  const lines = options.logLines ?? [];
  const log = createLog('gateway', 'debug', { write: (line: string) => void lines.push(line) });
  const service = createService(settings, log, options.parts);
  t.after(() => service.stop());
  await service.start();
  return withClients(service, folder);
}

function withClients(service: GatewayService, folder: string): TestGateway {
  const open = async (options: Parameters<typeof connectClient>[1]) => {
    const { client, connack } = await connectClient(service.mqttPort, options);
    if (connack.returnCode !== 0) throw new Error(`refused with code ${connack.returnCode}`);
    return client;
  };
  return {
    folder,
    get mqttPort() {
      return service.mqttPort;
    },
    get httpPort() {
      return service.httpPort;
    },
    start: () => service.start(),
    stop: () => service.stop(),
    device: (deviceId, more) => open({ ...deviceLogin(deviceId), ...more }),
    node: (clientId, more) => open({ ...nodeLogin(1), clientId, ...more }),
    drain: (epoch, more) => open({ ...drainLogin(1, epoch), ...more }),
    operator: (clientId = 'operator-1', more = {}) => open({ ...operatorLogin(clientId), ...more }),
    broker: () => brokerDocument(service.httpPort),
    get: (path) => ask(service.httpPort, path),
  };
}

function ask(httpPort: number, path: string): Promise<Response> {
  const authorization = `Bearer ${deriveToken(testSecret, subjects.operator)}`;
  return fetch(`http://127.0.0.1:${httpPort}${path}`, { headers: { authorization } });
}

/** The answer of /v1/broker at a gateway with the secret of the tests. */
export async function brokerDocument(httpPort: number): Promise<BrokerDocument> {
  return (await (await ask(httpPort, '/v1/broker')).json()) as BrokerDocument;
}

/** The CONNECT fields of a device. */
export function deviceLogin(deviceId: string) {
  return {
    clientId: deviceId,
    username: deviceId,
    password: Buffer.from(deriveToken(testSecret, subjects.device(deviceId))),
  };
}

/** The CONNECT fields of a node. */
export function nodeLogin(nodeId: number, epoch?: number) {
  return {
    clientId: `node-${nodeId}`,
    username: nodeUsername(nodeId, epoch),
    password: Buffer.from(deriveToken(testSecret, subjects.node(nodeId))),
  };
}

/** The CONNECT fields of the operator. */
export function operatorLogin(clientId: string) {
  return {
    clientId,
    username: 'operator',
    password: Buffer.from(deriveToken(testSecret, subjects.operator)),
  };
}

/** The CONNECT fields of the drain session. */
export function drainLogin(nodeId: number, epoch?: number) {
  return { ...nodeLogin(nodeId, epoch), clientId: drainClientId, clean: false };
}
