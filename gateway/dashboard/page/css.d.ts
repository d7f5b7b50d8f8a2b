/** A style sheet that esbuild puts into that of the page. */
declare module "*.css";
