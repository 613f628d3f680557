/** The settings of the card processor; the only reader of the environment here. */
import { readConfig, secretCharsMin } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';

const Settings = Type.Object({
  DATA_DIR: Type.String({ minLength: 1, description: 'the ledger stands here, as charges.log' }),
  PROCESSOR_SECRET: Type.String({
    minLength: secretCharsMin,
    description: 'shared with billing; the bearer token is derived from it',
  }),
  HTTP_HOST: Type.String({ default: '127.0.0.1' }),
  HTTP_PORT: Type.Integer({ default: 8090, minimum: 0, maximum: 65535, description: '0 takes a free one' }),
  FAULT_SEED: Type.Integer({ default: 1, description: 'faults by rate are drawn from it' }),
  LOG_LEVEL: Type.String({ default: 'info' }),
  STOP_TIMEOUT_MS: Type.Integer({ default: 5_000, minimum: 1 }),
});

export type Config = Static<typeof Settings>;

/** Reads and checks everything. @throws MeshError `config.invalid` with all faults */
export function readProcessorConfig(env: NodeJS.ProcessEnv = process.env): Config {
  return readConfig(Settings, env);
}
