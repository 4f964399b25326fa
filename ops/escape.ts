/** Text of guests and clients made safe for a terminal. */

const CONTROL = /[\p{Cc}\u2028\u2029]/gu;

/**
 * Control characters as `\xNN`: a guest must not write to the operator's terminal what the terminal
 * would obey.
 */
export function escapeControls(text: string): string {
  return text.replace(CONTROL, (character) => {
    if (character === '\t') return character;
    const code = character.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });
}
