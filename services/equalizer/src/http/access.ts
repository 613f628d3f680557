/** Who the caller of a request is: the API key, or the caller that the gateway names. */
import { callerHeader } from '@thermomesh/contracts';
import {
  bearerOf,
  createCallerGatekeeper,
  createGatekeeper,
  requireCaller,
  type Gatekeeper,
  type HttpRequest,
} from '@thermomesh/runtime';
import { httpError } from './problems.ts';

export interface AccessOptions {
  /** The secret of the mesh, from which the tokens of services are derived. */
  secret: string;
  /** File with the hashes of API keys. */
  apiKeysFile: string | undefined;
  /** Receives the number of unreadable lines of that file. */
  onDamagedKeys?: (lines: number) => void;
  /** Receives an error that kept the last use of a key from being recorded. */
  onUseUnrecorded?: (error: unknown) => void;
}

export interface Access {
  gatekeeper: Gatekeeper;
  /** The owner of the jobs that the request may create and see. @throws HttpError 400, 401 */
  callerOf: (request: HttpRequest) => string;
}

const gateway = 'gateway';
/** As long as a submission may carry, and without characters that could split a header. */
const callerPattern = /^[\x21-\x7e]{1,128}$/;

export function createAccess(options: AccessOptions): Access {
  const { secret, apiKeysFile, onDamagedKeys, onUseUnrecorded } = options;
  const keys = createGatekeeper(secret, apiKeysFile, onDamagedKeys, {
    ...(onUseUnrecorded === undefined ? {} : { onUseUnrecorded }),
  });
  const services = createCallerGatekeeper(secret, { [gateway]: ['images'] });
  return {
    gatekeeper: {
      scopesOf: (bearer) => services.scopesOf(bearer) ?? keys.scopesOf(bearer),
      refusalOf: (bearer) => keys.refusalOf?.(bearer),
    },
    callerOf(request) {
      if (services.callerOf(bearerOf(request)) === gateway) return callerNamedByGateway(request);
      return requireCaller(keys, request);
    },
  };
}

/** Only the gateway may name a caller: in any other request the header is ignored. */
function callerNamedByGateway(request: HttpRequest): string {
  const caller = request.headers[callerHeader];
  if (typeof caller === 'string' && callerPattern.test(caller)) return caller;
  throw httpError(400, 'access.no_caller', `the gateway must name the caller in ${callerHeader}`);
}
