/** The settings of the way to the equalizer: `config.ts` reads them with the rest. */
import Type, { type Static } from 'typebox';

const Ms = (initial: number, description: string) =>
  Type.Integer({ default: initial, minimum: 1, description });

export const jobsSettings = {
  EQUALIZER_URLS: Type.Optional(
    Type.String({
      pattern: '^https?://[^,/\\s]+(,https?://[^,/\\s]+)*$',
      description: 'equalizer nodes, comma separated; with ZOOKEEPER_HOSTS while none is listed there',
    }),
  ),
  EQUALIZER_TRY_TIMEOUT_MS: Ms(
    3_000,
    'a node says so soon that it hears; then the next one is asked, as long as nothing of an upload was sent',
  ),
  EQUALIZER_ANSWER_TIMEOUT_MS: Ms(60_000, 'an answer after the last byte of an upload'),
  EQUALIZER_SILENCE_TIMEOUT_MS: Ms(
    30_000,
    'a node that takes nothing of an upload, or sends nothing of an answer, for so long is given up; above its heartbeat',
  ),
  EQUALIZER_UPLOAD_TIMEOUT_MS: Ms(600_000, 'a whole request, from its first byte to its last'),
} as const;

const JobsSettings = Type.Object(jobsSettings);

/** With what `settings.ts` of the checkout reads: services are listed in one place. */
export type JobsSettings = Static<typeof JobsSettings> & {
  ZOOKEEPER_HOSTS?: string;
  SERVICES_PATH: string;
  ZOOKEEPER_SESSION_TIMEOUT_MS: number;
};

/** Whether the gateway can know any equalizer. */
export function hasEqualizer(config: JobsSettings): boolean {
  return config.EQUALIZER_URLS !== undefined || config.ZOOKEEPER_HOSTS !== undefined;
}

/** What is wrong between these settings. */
export function jobsFaults(config: JobsSettings): string[] {
  const faults: string[] = [];
  const below = (low: keyof JobsSettings, high: keyof JobsSettings) => {
    if (Number(config[low]) >= Number(config[high]))
      faults.push(`${low} (${config[low]}) must be below ${high} (${config[high]})`);
  };
  below('EQUALIZER_TRY_TIMEOUT_MS', 'EQUALIZER_ANSWER_TIMEOUT_MS');
  below('EQUALIZER_ANSWER_TIMEOUT_MS', 'EQUALIZER_UPLOAD_TIMEOUT_MS');
  below('EQUALIZER_SILENCE_TIMEOUT_MS', 'EQUALIZER_UPLOAD_TIMEOUT_MS');
  return faults;
}
