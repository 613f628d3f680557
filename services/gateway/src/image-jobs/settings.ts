/** Settings of the proxy to the equalizer; the gateway's `config.ts` reads them with the others. */
import { ms } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';
import { discoveryOptions, type DiscoveryConfig, type DiscoveryOptions } from '../discovery-settings.ts';
import type { ProxyLimits } from '../proxy/core/ports.ts';

/** The settings as TypeBox properties. */
export const imageJobsSettings = {
  EQUALIZER_URLS: Type.Optional(
    Type.String({
      pattern: '^https?://[^,/\\s]+(,https?://[^,/\\s]+)*$',
      description:
        'URLs of equalizer nodes, separated by commas. With ZOOKEEPER_HOSTS they are used only while no node is listed there.',
    }),
  ),
  EQUALIZER_TRY_TIMEOUT_MS: ms(
    3_000,
    'Time limit for the first sign of life of a node: "100 Continue" for an upload, else the answer. The next node is tried then, unless a part of the upload was sent.',
  ),
  EQUALIZER_ANSWER_TIMEOUT_MS: ms(60_000, 'Time limit for an answer after the last byte of an upload.'),
  EQUALIZER_SILENCE_TIMEOUT_MS: ms(
    30_000,
    'Maximum time in which a node neither takes a byte of an upload nor sends a byte of an answer. Must be above the heartbeat of its event streams.',
  ),
  EQUALIZER_UPLOAD_TIMEOUT_MS: ms(
    600_000,
    'Time limit for one HTTP request of a caller, from its first byte to its last.',
  ),
};

const Settings = Type.Object(imageJobsSettings);
export type ImageJobsConfig = Static<typeof Settings> & DiscoveryConfig;

/** The settings as the proxy uses them. */
export interface ImageJobsOptions {
  /** Nodes that are used while discovery lists none. */
  staticUrls: readonly string[];
  /** Undefined without ZooKeeper. */
  discovery: DiscoveryOptions | undefined;
  limits: ProxyLimits;
  uploadTimeoutMs: number;
}

/** Undefined if the settings name no way to find an equalizer. */
export function imageJobsOptions(config: ImageJobsConfig): ImageJobsOptions | undefined {
  const discovery = discoveryOptions(config);
  if (config.EQUALIZER_URLS === undefined && discovery === undefined) return undefined;
  return {
    staticUrls: config.EQUALIZER_URLS?.split(',') ?? [],
    discovery,
    limits: {
      tryTimeoutMs: config.EQUALIZER_TRY_TIMEOUT_MS,
      answerTimeoutMs: config.EQUALIZER_ANSWER_TIMEOUT_MS,
      silenceTimeoutMs: config.EQUALIZER_SILENCE_TIMEOUT_MS,
    },
    uploadTimeoutMs: config.EQUALIZER_UPLOAD_TIMEOUT_MS,
  };
}

/** Describes time limits that do not fit each other. */
export function imageJobsIssues(config: ImageJobsConfig): string[] {
  const issues: string[] = [];
  const below = (low: keyof ImageJobsConfig, high: keyof ImageJobsConfig) => {
    if (Number(config[low]) >= Number(config[high]))
      issues.push(`${low} (${config[low]}) must be below ${high} (${config[high]})`);
  };
  below('EQUALIZER_TRY_TIMEOUT_MS', 'EQUALIZER_ANSWER_TIMEOUT_MS');
  below('EQUALIZER_ANSWER_TIMEOUT_MS', 'EQUALIZER_UPLOAD_TIMEOUT_MS');
  below('EQUALIZER_SILENCE_TIMEOUT_MS', 'EQUALIZER_UPLOAD_TIMEOUT_MS');
  return issues;
}
