using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace Sluice.Tests.Browser;

/// <summary>The API's docs page comes from this server alone, under its own content security policy.</summary>
public sealed class ApiDocsTests(Shop shop)
{
    [Theory]
    [InlineData(360)]
    [InlineData(1280)]
    public async Task ApiDocs_WhenOpened_ShowTheRoutesWithoutAskingAnybodyElse(int width)
    {
        await using var visitor = await shop.VisitAsync(width);
        var refused = new List<string>();
        visitor.Page.Console += (_, message) =>
        {
            if (message.Type == "error")
                refused.Add(message.Text);
        };

        await visitor.Page.GotoAsync("/docs");

        await Expect(visitor.Page.GetByRole(AriaRole.Heading, new() { Name = "Sluice", Exact = true })).ToBeVisibleAsync();

        // The first section; the page makes the others when somebody scrolls there.
        await Expect(visitor.Page.GetByText("Register with an e-mail and a password").First).ToBeAttachedAsync();
        await visitor.Page.WaitForLoadStateAsync(LoadState.NetworkIdle);
        Assert.DoesNotContain(visitor.RequestsElsewhere, url => url.StartsWith("http", StringComparison.Ordinal));
        Assert.Empty(visitor.ScriptErrors);
        Assert.Empty(refused);
    }
}
