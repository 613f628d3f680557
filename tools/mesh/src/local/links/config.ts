/** The settings of the process that runs the links; only this file reads its environment. */
import type { LinkSpec } from '@thermomesh/links';
import { messageOf, ms, processSettings, readConfig, secret } from '@thermomesh/runtime';
import Type, { type Static } from 'typebox';
import { Check } from 'typebox/value';
import { meshError } from '../../errors.ts';

const Port = Type.Integer({ minimum: 1, maximum: 65_535 });
const LinkSpecs = Type.Array(
  Type.Object({
    name: Type.String(),
    port: Port,
    target: Type.Object({ host: Type.String(), port: Port }),
  }),
);

const Settings = Type.Object({
  ...processSettings,
  MESH_SECRET: secret('Secret of the mesh, from which the tokens of all callers are derived.'),
  HTTP_PORT: Type.Integer({ minimum: 0, maximum: 65_535, description: 'Port of the control interface.' }),
  LINKS: Type.String({ description: 'The links as JSON: [{name, port, target: {host, port}}].' }),
  STOP_TIMEOUT_MS: ms(5_000, 'Maximum duration of a graceful shutdown.'),
});

export interface LinksConfig extends Static<typeof Settings> {
  links: LinkSpec[];
}

/**
 * Reads the settings of the links.
 * @throws MeshError `config.invalid`
 */
export function readLinksConfig(env: NodeJS.ProcessEnv = process.env): LinksConfig {
  const raw = readConfig(Settings, env);
  return { ...raw, links: parseLinks(raw.LINKS) };
}

/** The options of the service. */
export function linksOptions({ HTTP_HOST: host, HTTP_PORT: port, MESH_SECRET, links }: LinksConfig) {
  return { host, port, secret: MESH_SECRET, links };
}

function parseLinks(text: string): LinkSpec[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw meshError('config.invalid', `LINKS is not JSON: ${messageOf(error)}`);
  }
  if (!Check(LinkSpecs, value)) throw meshError('config.invalid', 'LINKS is not a list of links');
  return value;
}
