/** A gateway for tests: real sockets, a real store in a temporary folder unless the test brings another. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { drainClientId, nodeUsername } from '@thermomesh/contracts';
import { createLog, deriveToken, subjects } from '@thermomesh/runtime';
import { readGatewayConfig } from '../../config.ts';
import { createService, type GatewayService, type ServiceParts } from '../../service.ts';
import { connectClient, type TestClient } from './mqtt-client.ts';

export const testSecret = 'a secret of the tests, long enough to pass';

/** A folder that is gone after the test. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'thermomesh-gateway-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
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

export interface TestGateway extends GatewayService {
  folder: string;
  device(deviceId: string, more?: Record<string, unknown>): Promise<TestClient>;
  node(clientId: string, more?: Record<string, unknown>): Promise<TestClient>;
  drain(epoch?: number, more?: Record<string, unknown>): Promise<TestClient>;
  get(path: string): Promise<Response>;
}

/** Starts a gateway; it is stopped after the test. */
export async function startGateway(
  t: TestContext,
  options: { folder?: string; env?: NodeJS.ProcessEnv; parts?: ServiceParts; logLines?: string[] } = {},
): Promise<TestGateway> {
  const folder = options.folder ?? (await temporaryFolder(t));
  const config = readGatewayConfig(testEnvironment(folder, options.env));
  const lines = options.logLines ?? [];
  const log = createLog('gateway', 'debug', { write: (line: string) => void lines.push(line) });
  const service = createService(config, log, options.parts);
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
    get: (path) =>
      fetch(`http://127.0.0.1:${service.httpPort}${path}`, {
        headers: { authorization: `Bearer ${deriveToken(testSecret, subjects.operator)}` },
      }),
  };
}

export function deviceLogin(deviceId: string) {
  return {
    clientId: deviceId,
    username: deviceId,
    password: Buffer.from(deriveToken(testSecret, subjects.device(deviceId))),
  };
}

export function nodeLogin(nodeId: number, epoch?: number) {
  return {
    clientId: `node-${nodeId}`,
    username: nodeUsername(nodeId, epoch),
    password: Buffer.from(deriveToken(testSecret, subjects.node(nodeId))),
  };
}

export function operatorLogin(clientId: string) {
  return {
    clientId,
    username: 'operator',
    password: Buffer.from(deriveToken(testSecret, subjects.operator)),
  };
}

export function drainLogin(nodeId: number, epoch?: number) {
  return { ...nodeLogin(nodeId, epoch), clientId: drainClientId, clean: false };
}
