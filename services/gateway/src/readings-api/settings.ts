/** Settings of the proxy to the analytics nodes; `config.ts` reads them with the others. */
import { count, ms } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';
import { discoveryOptions, type DiscoveryConfig, type DiscoveryOptions } from '../discovery-settings.ts';
import type { ProxyLimits } from '../proxy/core/ports.ts';

/** The settings as TypeBox properties. */
export const readingsSettings = {
  ANALYTICS_URLS: Type.Optional(
    Type.String({
      pattern: '^https?://[^,/\\s]+(,https?://[^,/\\s]+)*$',
      description:
        'URLs of analytics nodes, separated by commas. With ZOOKEEPER_HOSTS they are used only while no node is listed there.',
    }),
  ),
  ANALYTICS_TRY_TIMEOUT_MS: ms(
    3_000,
    'Time limit for the answer of the first node; another one is asked then.',
  ),
  ANALYTICS_ANSWER_TIMEOUT_MS: ms(
    10_000,
    'Time limit for the answer of a node that is asked after one was late, and of the only one that may be asked. Above the time limit of one query at a node.',
  ),
  ANALYTICS_SILENCE_TIMEOUT_MS: ms(30_000, 'Maximum time between two parts of an answer.'),
  ANALYTICS_REQUESTS_MAX: count(256, 'Maximum number of requests that are passed on at a time.'),
  ANALYTICS_REQUESTS_PER_CALLER_MAX: count(
    64,
    'Maximum number of requests of one API key that are passed on at a time.',
  ),
};

const Settings = Type.Object(readingsSettings);
export type ReadingsConfig = Static<typeof Settings> & DiscoveryConfig;

/** The settings as the proxy uses them. */
export interface ReadingsOptions {
  /** Nodes that are used while discovery lists none. */
  staticUrls: readonly string[];
  /** Undefined without ZooKeeper. */
  discovery: DiscoveryOptions | undefined;
  limits: ProxyLimits;
  requestsMax: number;
  requestsPerCallerMax: number;
}

/** Undefined if the settings name no way to find an analytics node. */
export function readingsOptions(config: ReadingsConfig): ReadingsOptions | undefined {
  const discovery = discoveryOptions(config);
  if (config.ANALYTICS_URLS === undefined && discovery === undefined) return undefined;
  return {
    staticUrls: config.ANALYTICS_URLS?.split(',') ?? [],
    discovery,
    limits: {
      tryTimeoutMs: config.ANALYTICS_TRY_TIMEOUT_MS,
      answerTimeoutMs: config.ANALYTICS_ANSWER_TIMEOUT_MS,
      silenceTimeoutMs: config.ANALYTICS_SILENCE_TIMEOUT_MS,
    },
    requestsMax: config.ANALYTICS_REQUESTS_MAX,
    requestsPerCallerMax: config.ANALYTICS_REQUESTS_PER_CALLER_MAX,
  };
}

/** Describes limits that do not fit each other. */
export function readingsIssues(config: ReadingsConfig): string[] {
  const issues: string[] = [];
  const notAbove = (low: keyof ReadingsConfig, high: keyof ReadingsConfig) => {
    if (Number(config[low]) > Number(config[high]))
      issues.push(`${low} (${config[low]}) must not be above ${high} (${config[high]})`);
  };
  notAbove('ANALYTICS_TRY_TIMEOUT_MS', 'ANALYTICS_ANSWER_TIMEOUT_MS');
  notAbove('ANALYTICS_REQUESTS_PER_CALLER_MAX', 'ANALYTICS_REQUESTS_MAX');
  return issues;
}
