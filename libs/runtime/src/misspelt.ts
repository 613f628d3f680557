/** Finds variables of the environment that are misspelt settings. */
import { isMisspelling } from './nearest-name.ts';
import { allSettingNames } from './setting-names.ts';

/** Variables of other programs that happen to be one letter away from a setting. */
const ofOtherPrograms = new Set(['HTTPS_HOST', 'HTTPS_PORT', 'LINES', 'PEER', 'PERS']);
/** Shorter names are too often like variables of other programs. */
const comparedCharsMin = 6;

/**
 * Describes the variables that are not settings, but almost are: `MQTT_PROT is not a setting: did
 * you mean MQTT_PORT?`. A variable is accepted if the setting that it resembles is set too.
 * @param names the settings to compare with; default: those of all programs
 */
export function misspeltSettings(
  env: Readonly<Record<string, string | undefined>>,
  names: Iterable<string> = allSettingNames,
): string[] {
  const compared = [...names].filter((name) => name.length >= comparedCharsMin);
  const own = new Set(compared);
  return Object.keys(env).flatMap((word) => {
    if (own.has(word) || isKnown(word) || ofOtherPrograms.has(word)) return [];
    const meant = compared.find((name) => env[name] === undefined && isMisspelling(word, name));
    return meant === undefined ? [] : [`${word} is not a setting: did you mean ${meant}?`];
  });
}

/** True for a setting of any program, and for its form that names a file. */
function isKnown(word: string): boolean {
  return allSettingNames.has(word) || (word.endsWith('_FILE') && allSettingNames.has(word.slice(0, -5)));
}
