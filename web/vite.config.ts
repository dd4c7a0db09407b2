import { defineConfig } from "vite";

// Where `npm run dev` finds a running program: `make run` prints its address.
const program = process.env.PARLEY_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  build: {
    outDir: "dist/pages", // dist itself is there in a fresh clone too, for go:embed
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // nothing inline: the pages' policy forbids it
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: { client: "index.html", app: "app/index.html", desk: "desk/index.html", sw: "src/app/sw.ts" },
      output: {
        // A service worker has one name for ever, and the scope of its folder.
        entryFileNames: (chunk) => (chunk.name === "sw" ? "app/sw.js" : "assets/[name]-[hash].js"),
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: "assets/[name]-[hash][extname]",
      },
    },
  },
  server: { proxy: { "/v1": program, "/readyz": program, "/ws": { target: program, ws: true } } },
});
