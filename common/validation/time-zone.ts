/** Whether this is the name of a time zone in the IANA database. */
export function isTimeZone(name: string): boolean {
  if (!/^[a-zA-Z]/.test(name)) return false; // offsets such as +01:00 know no daylight saving
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
