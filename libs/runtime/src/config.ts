/**
 * Reads the configuration of a process from environment variables, by a schema with defaults, and
 * reports all issues at once.
 */
import { existsSync, readFileSync } from 'node:fs';
import envSchema, { type JSONSchemaType } from 'env-schema';
import type { Static, TObject } from 'typebox';
import { messageOf, runtimeError } from './errors.ts';

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
  const issues: string[] = [];
  const data = withSecretsFromFiles(schema, env, issues);
  issues.push(...numberIssues(schema, data));
  let config: Static<S> | undefined;
  try {
    config = envSchema<Static<S>>({
      schema: schema as unknown as JSONSchemaType<Static<S>>,
      data,
      dotenv: false,
      env: false,
    });
  } catch (error) {
    const reported = new Set(issues.map(nameIn));
    issues.push(...issuesOf(error).filter((issue) => !reported.has(nameIn(issue))));
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

/** The schema's own conversion reads `0x10` as 16 and `" 5 "` as 5. */
function numberIssues(schema: TObject, data: Record<string, string>): string[] {
  return Object.entries(data)
    .filter(([name, text]) => {
      const { type } = schema.properties[name] as { type?: unknown };
      return (type === 'integer' || type === 'number') && !decimal.test(text);
    })
    .map(([name]) => `${name} must be a decimal number`);
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

function issuesOf(error: unknown): string[] {
  const list = (error as { errors?: AjvIssue[] }).errors;
  if (!Array.isArray(list) || list.length === 0) return [messageOf(error)];
  return list.map((issue) => {
    if (issue.params?.missingProperty !== undefined) return `${issue.params.missingProperty} is required`;
    return `${(issue.instancePath ?? '').slice(1) || 'configuration'} ${issue.message ?? 'is invalid'}`;
  });
}
