import { defineConfig } from "vite";

// The same sources give the same bytes: no hashes in names, nothing of the machine or the day.
export default defineConfig({
  base: "./",
  build: {
    outDir: process.env["DAYBREAK_PAGE"] ?? "../daybreak/demo/pong/page",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rollupOptions: {
      output: {
        entryFileNames: "assets/page.js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/page[extname]",
      },
    },
  },
});
