// Money, times and durations in the visitor's own locale and time zone.

/** Minor units to words. The number of decimals comes from the currency (JPY has none, KWD three). */
export function money(minorUnits, currency) {
  const format = new Intl.NumberFormat(undefined, { style: 'currency', currency });
  const decimals = format.resolvedOptions().maximumFractionDigits;
  return format.format(minorUnits / 10 ** decimals);
}

export const number = value => new Intl.NumberFormat().format(value);

const dayAndTime = new Intl.DateTimeFormat(undefined, {
  weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', timeZoneName: 'short',
});
const timeOnly = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', timeZoneName: 'short' });
const toTheSecond = new Intl.DateTimeFormat(undefined, {
  day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', timeZoneName: 'short',
});

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' });

export const clockTime = ms => clock.format(ms);
export const moment = iso => dayAndTime.format(new Date(iso));
export const timeOfDay = iso => timeOnly.format(new Date(iso));
export const exactMoment = iso => toTheSecond.format(new Date(iso));

/** Seconds left, rounded up: 0 exactly when the time has come. */
export const secondsUntil = (iso, nowMs) => Math.max(0, Math.ceil((Date.parse(iso) - nowMs) / 1000));

/** 133 → "02:13", 15133 → "04:12:13", 2 days more → "2d 04:12:13". */
export function digits(seconds) {
  const two = value => String(value).padStart(2, '0');
  const days = Math.floor(seconds / 86_400);
  const hours = Math.floor(seconds / 3600) % 24;
  const clock = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  if (days > 0) return `${days}d ${two(hours)}:${clock}`;
  return hours > 0 ? `${two(hours)}:${clock}` : clock;
}

/** The same for the ear, coarse on purpose: a screen reader should not be told every second. */
export function spoken(seconds) {
  const say = (value, unit) => `${value} ${unit}${value === 1 ? '' : 's'}`;
  if (seconds >= 2 * 86_400) return say(Math.floor(seconds / 86_400), 'day');
  if (seconds >= 2 * 3600) return say(Math.floor(seconds / 3600), 'hour');
  if (seconds >= 60) return say(Math.floor(seconds / 60), 'minute');
  return 'less than a minute';
}

/** ISO 8601 duration of days, hours, minutes and seconds → words: PT15M → "15 minutes". */
export function duration(iso) {
  const parts = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?)?$/.exec(iso);
  if (!parts) return iso;
  const units = ['day', 'hour', 'minute', 'second'];
  return units
    .map((unit, i) => [Number(parts[i + 1] ?? 0), unit])
    .filter(([value]) => value > 0)
    .map(([value, unit]) => `${value} ${unit}${value === 1 ? '' : 's'}`)
    .join(' ');
}
