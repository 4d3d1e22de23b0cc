"""Where nodes live and who starts them: node, its line to the owner, conductor, threads, processes. Imports edges."""
