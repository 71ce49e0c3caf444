import Bootstrap

await Program.run(PreloopCommand.self)
