/** Finds the route of a request: by path first, so that a wrong method can be told apart. */

import { WardianError } from '../../contract/errors.ts';
import type { AdminRoute } from './route.ts';

export interface Match {
  readonly route: AdminRoute;
  /** Decoded, not yet validated. */
  readonly params: Readonly<Record<string, string>>;
}

const segmentsOf = (path: string): string[] => path.split('/').slice(1);

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (cause) {
    throw new WardianError('bad_argument', 'the path is not percent-encoded UTF-8', { cause });
  }
}

function paramsOf(pattern: readonly string[], segments: readonly string[]) {
  if (pattern.length !== segments.length) return null;
  const params: Record<string, string> = {};
  for (const [index, part] of pattern.entries()) {
    const segment = segments[index] ?? '';
    if (part.startsWith('{')) params[part.slice(1, -1)] = segment;
    else if (part !== segment) return null;
  }
  return params;
}

export class MethodNotAllowed extends WardianError {
  readonly allowed: readonly string[];

  constructor(allowed: readonly string[]) {
    super('method_not_allowed', `allowed here: ${allowed.join(', ')}`);
    this.allowed = allowed;
  }
}

export function createMatcher(routes: readonly AdminRoute[]) {
  const patterns = routes.map((route) => ({ route, segments: segmentsOf(route.path) }));
  /** Throws `not_found`, MethodNotAllowed. HEAD is answered as GET, without the body. */
  return function match(method: string, path: string): Match {
    // The parser lets `*/v1/apps` pass, whose segments are those of a path that needs the token.
    if (!path.startsWith('/')) throw new WardianError('not_found', 'the target is no path');
    const wanted = method === 'HEAD' ? 'GET' : method;
    const segments = segmentsOf(path);
    const allowed: string[] = [];
    for (const { route, segments: pattern } of patterns) {
      const found = paramsOf(pattern, segments);
      if (found === null) continue;
      if (route.method !== wanted) {
        allowed.push(route.method);
        continue;
      }
      const params: Record<string, string> = {};
      for (const [name, value] of Object.entries(found)) params[name] = decode(value);
      return { route, params };
    }
    if (allowed.length > 0) throw new MethodNotAllowed(allowed);
    throw new WardianError('not_found', `there is no ${path.slice(0, 200)}`);
  };
}
