/** Configuration of the gateway. No other file of it reads the environment. */
import { crashPlanIssues, ms, port, readConfig, serviceSettings } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';
import { brokerIssues, brokerOptions, brokerSettings, type BrokerOptions } from './broker/settings.ts';
import {
  checkoutIssues,
  checkoutOptions,
  checkoutSettings,
  type CheckoutOptions,
} from './checkout/settings.ts';
import { commandIssues, commandOptions, commandSettings, type CommandOptions } from './commands/settings.ts';
import { discoverySettings } from './discovery-settings.ts';
import {
  imageJobsIssues,
  imageJobsOptions,
  imageJobsSettings,
  type ImageJobsOptions,
} from './image-jobs/settings.ts';
import {
  readingsIssues,
  readingsOptions,
  readingsSettings,
  type ReadingsOptions,
} from './readings-api/settings.ts';

const Settings = Type.Object({
  ...serviceSettings,
  HTTP_PORT: port(8080, 'TCP port of HTTP; 0 takes a free one.'),
  STOP_TIMEOUT_MS: ms(10_000, 'Maximum duration of a graceful shutdown.', { minimum: 100 }),
  ...brokerSettings,
  ...discoverySettings,
  ...checkoutSettings,
  ...commandSettings,
  ...imageJobsSettings,
  ...readingsSettings,
});

export type Config = Static<typeof Settings>;

/**
 * Reads and checks all settings.
 * @throws MeshError `config.invalid` that lists every issue
 */
export function readGatewayConfig(env: NodeJS.ProcessEnv = process.env): Config {
  return readConfig(Settings, env, crossChecks);
}

function crossChecks(config: Config): string[] {
  return [
    ...brokerIssues(config),
    ...checkoutIssues(config),
    ...commandIssues(config),
    ...imageJobsIssues(config),
    ...readingsIssues(config),
    ...crashPlanIssues(config),
  ];
}

/** What the parts of the gateway need, without the names of environment variables. */
export interface GatewaySettings {
  /** Secret of the mesh, from which all tokens are derived. */
  secret: string;
  apiKeysFile: string | undefined;
  stopTimeoutMs: number;
  http: { host: string; port: number };
  /** Requests per minute at the routes of the checkout. */
  rateLimits: { requestsPerMinuteMax: number; addressRequestsPerMinuteMax: number };
  crash: { point: string | undefined; witnessFile: string | undefined };
  broker: BrokerOptions;
  /** Undefined if the checkout is switched off. */
  checkout: CheckoutOptions | undefined;
  /** Undefined without a database. */
  commands: CommandOptions | undefined;
  /** Undefined if the settings name no way to find an equalizer. */
  imageJobs: ImageJobsOptions | undefined;
  /** Undefined if the settings name no way to find an analytics node. */
  readings: ReadingsOptions | undefined;
}

/** Translates the configuration into the options of the parts. */
export function settingsOf(config: Config): GatewaySettings {
  return {
    secret: config.MESH_SECRET,
    apiKeysFile: config.API_KEYS_FILE,
    stopTimeoutMs: config.STOP_TIMEOUT_MS,
    http: { host: config.HTTP_HOST, port: config.HTTP_PORT },
    rateLimits: {
      requestsPerMinuteMax: config.CHECKOUT_REQUESTS_PER_MINUTE_MAX,
      addressRequestsPerMinuteMax: config.CHECKOUT_ADDRESS_REQUESTS_PER_MINUTE_MAX,
    },
    crash: { point: config.CRASH_POINT, witnessFile: config.CRASH_WITNESS_FILE },
    broker: brokerOptions(config),
    checkout: checkoutOptions(config),
    commands: commandOptions(config),
    imageJobs: imageJobsOptions(config),
    readings: readingsOptions(config),
  };
}
