using Sluice.Tests.Browser;
using Xunit.v3;

// One server and one browser for the whole run: each test makes its own sale and its own visitor.
[assembly: AssemblyFixture(typeof(Shop))]
[assembly: Parallelization(MaxThreads = 2)]
