/**
 * The headers of each answer below /ui/. The page loads and calls what is of its own origin alone, scripts and styles
 * from files; no page has it in a frame, or a handle on its window; no address of it leaves with a request.
 */
export const UI_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": [
    "default-src 'none'",
    ...["script-src", "style-src", "img-src", "connect-src", "worker-src", "form-action"].map((directive) => `${directive} 'self'`),
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
};
