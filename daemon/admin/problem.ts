/** Errors as the admin API tells them: RFC 9457 problem details, with our code and its meaning. */

import * as z from 'zod';

import { BuildError } from '../../contract/build.ts';
import { ERRORS, WardianError } from '../../contract/errors.ts';
import type { ErrorCode } from '../../contract/errors.ts';

export const PROBLEM_TYPE = 'application/problem+json';

export const problemSchema = z.strictObject({
  type: z.string().meta({ description: 'A URI that names the kind of problem' }),
  title: z.string().meta({ description: 'What the code means' }),
  status: z.int(),
  code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
  detail: z.string().meta({ description: 'What went wrong this time' }),
  output: z.string().optional().meta({ description: 'What the compiler printed' }),
}).meta({ id: 'Problem' });

export type Problem = z.infer<typeof problemSchema>;

/** A WardianError in its own words; anything else is a fault of ours and says nothing. */
export function problemOf(error: unknown): Problem {
  const known = error instanceof WardianError ? error : null;
  const code = known?.code ?? 'internal';
  const { status, meaning } = ERRORS[code];
  const output = error instanceof BuildError && error.output !== '' ? error.output : undefined;
  return {
    type: `urn:wardian:error:${code}`, title: meaning, status, code,
    detail: known === null || known.message === '' ? meaning : known.message,
    ...(output === undefined ? {} : { output }),
  };
}
