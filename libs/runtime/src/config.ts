/**
 * Reads the configuration of a process from environment variables, by a schema with defaults, and
 * reports all issues at once.
 */
import { existsSync, readFileSync } from 'node:fs';
import envSchema, { type JSONSchemaType } from 'env-schema';
import type { Static, TObject } from 'typebox';
import { messageOf, runtimeError } from './errors.ts';
import { misspeltSettings } from './misspelt.ts';

/** Describes what is wrong between two or more settings; an empty list means that they fit. */
export type CrossChecks<T> = (config: T) => string[];

/**
 * Reads the settings of one process.
 * @param schema a TypeBox object; names are the environment variables, `description` documents them
 * @param env usually `process.env`; only the `config.ts` of a process reads it
 * @param crossChecks finds issues between settings, such as a timeout that must be below another
 * @throws MeshError `config.invalid` that lists every issue, one a line
 */
export function readConfig<S extends TObject>(
  schema: S,
  env: NodeJS.ProcessEnv,
  crossChecks: CrossChecks<Static<S>> = () => [],
): Static<S> {
  const issues = misspeltSettings(env, Object.keys(schema.properties));
  const data = withSecretsFromFiles(schema, env, issues);
  const invalid = numberIssues(schema, data);
  let config: Static<S> | undefined;
  try {
    config = envSchema<Static<S>>({
      schema: schema as unknown as JSONSchemaType<Static<S>>,
      data,
      dotenv: false,
      env: false,
    });
  } catch (error) {
    invalid.push(...issuesOf(error));
  }
  const reported = new Set(issues.map(nameIn));
  for (const { name, message } of invalid) {
    if (reported.has(name)) continue;
    reported.add(name);
    issues.push(name === '' ? message : describeIssue(schema, data, name));
  }
  if (config !== undefined) issues.push(...crossChecks(config));
  if (config === undefined || issues.length > 0) {
    throw runtimeError(
      'config.invalid',
      `configuration has ${issues.length} ${issues.length === 1 ? 'issue' : 'issues'}:\n  ${issues.join('\n  ')}`,
    );
  }
  return config;
}

/** An issue of one setting; `name` is empty if the issue is not about one setting. */
interface SettingIssue {
  name: string;
  message: string;
}

/** The schema's own conversion reads `0x10` as 16 and `" 5 "` as 5. */
function numberIssues(schema: TObject, data: Record<string, string>): SettingIssue[] {
  return Object.entries(data)
    .filter(([name, text]) => {
      const { type } = schema.properties[name] as { type?: unknown };
      return (type === 'integer' || type === 'number') && !decimal.test(text);
    })
    .map(([name]) => ({ name, message: 'must be a decimal number' }));
}

/** The name of the setting with which an issue begins. */
function nameIn(issue: string): string {
  return issue.split(' ', 1)[0] ?? '';
}

/** What `String` makes of a number can be read back, so an exponent is allowed. */
const decimal = /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i;

/** Reads `X` from the file that `X_FILE` names: containers pass secrets as files. */
function withSecretsFromFiles(
  schema: TObject,
  env: NodeJS.ProcessEnv,
  issues: string[],
): Record<string, string> {
  const data: Record<string, string> = {};
  for (const name of Object.keys(schema.properties)) {
    const value = env[name];
    const file = env[`${name}_FILE`];
    // An empty variable counts as not set: compose files and shells do not distinguish the two.
    if (value !== undefined && value !== '') data[name] = value;
    else if (file !== undefined && file !== '' && !Object.hasOwn(schema.properties, `${name}_FILE`)) {
      if (existsSync(file)) data[name] = readFileSync(file, 'utf8').trim();
      else issues.push(`${name}_FILE names ${file}, which does not exist`);
    }
  }
  return data;
}

interface AjvIssue {
  instancePath?: string;
  message?: string;
  params?: { missingProperty?: string };
}

function issuesOf(error: unknown): SettingIssue[] {
  const list = (error as { errors?: AjvIssue[] }).errors;
  if (!Array.isArray(list) || list.length === 0) return [{ name: '', message: messageOf(error) }];
  return list.map(({ instancePath = '', message = 'is invalid', params }) => {
    const name = params?.missingProperty ?? instancePath.slice(1).split('/', 1)[0] ?? '';
    return { name, message: `configuration ${message}` };
  });
}

/** The keywords of a setting's schema that people need to choose another value. */
interface SettingSchema {
  type?: string;
  enum?: unknown[];
  anyOf?: { const?: unknown }[];
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  description?: string;
}

/** Values of these settings are secrets, or may contain a password. */
const secretNames = /(SECRET|PASSWORD|TOKEN|KEYS?|URLS?)$/i;

/** Names the setting, what it must be, and the value that was given. */
function describeIssue(schema: TObject, data: Record<string, string>, name: string): string {
  const setting = (schema.properties[name] ?? {}) as SettingSchema;
  const given = data[name];
  if (given === undefined)
    return `${name} is required${setting.description === undefined ? '' : `: ${setting.description}`}`;
  const value = secretNames.test(name) ? '' : `, not ${JSON.stringify(shortened(given))}`;
  return `${name} must be ${expected(setting)}${value}`;
}

function expected(setting: SettingSchema): string {
  const { type, pattern, minimum, maximum, minLength, maxLength, description } = setting;
  const allowed = setting.enum ?? setting.anyOf?.map(({ const: value }) => value);
  if (allowed !== undefined) return `one of ${allowed.map(String).join(', ')}`;
  if (type === 'boolean') return 'true or false';
  if (type === 'integer' || type === 'number') {
    const kind = type === 'integer' ? 'a whole number' : 'a decimal number';
    return `${kind}${range(minimum, maximum)}`;
  }
  if (pattern === undefined && (minLength !== undefined || maxLength !== undefined))
    return `a text${range(minLength, maxLength)} characters`;
  return `valid${description === undefined ? '' : ` (${description})`}`;
}

function range(min: number | undefined, max: number | undefined): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
  if (min !== undefined) return ` of at least ${min}`;
  return max === undefined ? '' : ` of at most ${max}`;
}

/** Maximum length of a value in a message. */
const shownCharsMax = 60;

function shortened(text: string): string {
  return text.length <= shownCharsMax ? text : `${text.slice(0, shownCharsMax)}…`;
}
