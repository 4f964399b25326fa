/** Which language an upload is in: told, or guessed from the names of its files. */

import type { BuildFile } from '../../contract/build.ts';
import type { Language } from '../../contract/deployment.ts';
import { WardianError } from '../../contract/errors.ts';
import { guessLanguage, KNOWN_EXTENSIONS } from '../../contract/language.ts';

export const LANGUAGES: readonly Language[] = ['wasm', 'wat', 'assemblyscript', 'c', 'rust'];

/** Throws `unknown_language`. `told` is a language's name or `auto`; empty means `auto`. */
export function languageOf(told: string, files: readonly Pick<BuildFile, 'path'>[]): Language {
  const named = LANGUAGES.find((language) => language === told);
  if (named !== undefined) return named;
  if (told !== 'auto' && told !== '') {
    throw new WardianError('unknown_language',
      `${JSON.stringify(told.slice(0, 40))}; known are auto, ${LANGUAGES.join(', ')}`);
  }
  const guess = guessLanguage(files.map(({ path }) => path));
  if (guess !== null) return guess.language;
  throw new WardianError('unknown_language',
    `no file ends in ${KNOWN_EXTENSIONS.map((extension) => `.${extension}`).join(', ')}`);
}
